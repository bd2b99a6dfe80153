package seat

import (
	"context"
	"fmt"
	"net/http"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// defaultHolder is who holds units of a pool when nobody is named: the same that a
// program with the SDK is on this machine. Product, salt and whom the pool counts are
// read from the license's document, which decides nothing here and is not verified.
func defaultHolder(ctx context.Context, c *client.Client, pool string) (Holder, error) {
	doc, err := ownLicense(ctx, c)
	if p, ok := client.AsProblem(err); ok && client.KindOf(p) != client.Unavailable {
		return localUser(), nil // what the license refuses, it refuses signed when units are asked for
	}
	if err != nil {
		return Holder{}, err
	}
	if len(doc.Audience) == 0 {
		return localUser(), nil
	}
	kind := doc.Pools[pool].Holder
	h, err := copyhold.DefaultHolder(copyhold.Options{Product: doc.Audience[0], Issuer: doc.Issuer}, kind)
	if err != nil && kind != copyhold.KindMachine {
		return localUser(), nil // a service without a home holds units that are nobody's machine
	}
	if err != nil {
		return Holder{}, client.Errorf(client.Failed, "finding out who holds: %w\n  --holder names somebody", err)
	}
	return Holder(h), nil
}

// ownLicense reads the document of the license that the key belongs to.
func ownLicense(ctx context.Context, c *client.Client) (doc license.License, err error) {
	a, err := c.Do(ctx, client.Call{As: client.ByKey, Method: http.MethodGet, Path: "/v1/license"})
	if err != nil {
		return doc, err
	}
	var body struct {
		License string `json:"license"`
	}
	if err := a.Decode(&body); err != nil {
		return doc, err
	}
	if err := readClaims(body.License, &doc); err != nil {
		return doc, &client.Problem{Code: client.CodeUnavailable, Detail: fmt.Sprintf("reading the license: %v", err)}
	}
	return doc, nil
}

// localUser is the person at this machine, as the SDK names a person. A user id without
// an account is one too.
func localUser() Holder {
	name := "unknown"
	if h, err := copyhold.DefaultHolder(copyhold.Options{Holder: &copyhold.Holder{Kind: copyhold.KindMachine, ID: name}}, copyhold.KindUser); err == nil {
		name = h.ID
	}
	return Holder{Kind: copyhold.KindUser, ID: name + "@" + HostName()}
}
