package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// believe checks the denial of a call with a nonce. It returns the denial only if it is
// signed, answers this request, and verifies from the pinned root set, if there is one. Any
// other denial is an infrastructure failure and becomes unavailable. A refusal without a
// decision, for an invalid request or an unknown key, denies nothing and is returned as is.
func (c *Client) believe(ctx context.Context, base string, err error, nonce string) error {
	p, ok := AsProblem(err)
	if nonce == "" || !ok || p.Decision == nil || p.kind() == Unavailable {
		return err
	}
	if p.Reply == "" {
		return &Problem{Status: p.Status, Code: CodeUnavailable, Detail: "an unsigned refusal says nothing about the license: " + p.Error()}
	}
	pinned := c.settings.RootSet.Value
	if pinned == "" {
		return err
	}
	if doubt := c.verifyReply(ctx, base, pinned, p, nonce); doubt != nil {
		return &Problem{Status: p.Status, Code: CodeUnavailable, Detail: "the signature of a denial could not be verified: " + doubt.Error()}
	}
	return err
}

func (c *Client) verifyReply(ctx context.Context, base, pinned string, p *Problem, nonce string) error {
	roots, err := ReadRootSet(pinned)
	if err != nil {
		return err
	}
	trusted, err := license.NewAuditor(roots)
	if err != nil {
		return err
	}
	if trusted, err = c.follow(ctx, base, trusted); err != nil {
		return err
	}
	now := time.Now().Unix()
	reply, err := trusted.Reply(p.Reply, nonce, now)
	if err != nil {
		return err
	}
	p.Decision = &reply.Decision
	return nil
}

// follow loads the key set in force, and the root sets up to the one that signed it.
func (c *Client) follow(ctx context.Context, base string, v *license.Verifier) (*license.Verifier, error) {
	now := time.Now().Unix()
	keys, err := c.signedSet(ctx, base, v, "keyset", 0)
	if err != nil {
		return nil, err
	}
	next, err := v.WithKeySet(keys, now)
	for errors.Is(err, license.ErrThreshold) || errors.Is(err, license.ErrExpired) {
		roots, rootErr := c.signedSet(ctx, base, v, "rootset", v.RootSet().Number+1)
		if rootErr != nil {
			return nil, errors.Join(err, rootErr)
		}
		later, rootErr := v.WithRootSet(roots, now)
		if rootErr != nil || later == v {
			return nil, errors.Join(err, rootErr)
		}
		v = later
		next, err = v.WithKeySet(keys, now)
	}
	return next, err
}

// signedSet fetches a set from the server; number 0 is the one in force.
func (c *Client) signedSet(ctx context.Context, base string, v *license.Verifier, set string, number int64) ([]string, error) {
	query := url.Values{"issuer": {v.Issuer()}}
	if number > 0 {
		query.Set("number", strconv.FormatInt(number, 10))
	}
	a, err := c.Ask(ctx, base, Call{As: Anonymous, Method: http.MethodGet, Path: "/v1/" + set, Query: query})
	if err != nil {
		return nil, err
	}
	var members map[string][]string
	err = a.Decode(&members)
	return members[set], err
}
