package seat

import (
	"context"
	"fmt"
	"net/http"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// defaultHolder returns the holder if none is named: the identity that a program with the
// SDK would have on this machine. It reads the product, the salt and the kind of holder from
// the license document. The document is not verified, because nothing is decided by it here.
func defaultHolder(ctx context.Context, c *client.Client, pool string) (Holder, error) {
	doc, err := ownLicense(ctx, c)
	if p, ok := client.AsProblem(err); ok && client.KindOf(p) != client.Unavailable {
		return localUser(), nil // a denial comes signed, when units are requested
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
		return localUser(), nil // a service without a home folder can hold units that are not for machines
	}
	if err != nil {
		return Holder{}, client.Errorf(client.Failed, "finding the default holder: %w\n  specify one with --holder", err)
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

// localUser returns the user at this machine, named as the SDK does. A user id without an
// account also counts.
func localUser() Holder {
	name := "unknown"
	if h, err := copyhold.DefaultHolder(copyhold.Options{Holder: &copyhold.Holder{Kind: copyhold.KindMachine, ID: name}}, copyhold.KindUser); err == nil {
		name = h.ID
	}
	return Holder{Kind: copyhold.KindUser, ID: name + "@" + HostName()}
}
