package cli

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"copyhold.dev/sdk/license"
)

// believe returns a refusal of a call with a nonce only if it is one: signed, for
// this question, and verified from the pinned root set if there is one. Everything
// else that says no is infrastructure, and comes back as unavailable.
func (c *client) believe(ctx context.Context, base string, err error, nonce string) error {
	p, ok := asProblem(err)
	if nonce == "" || !ok || p.exitStatus() == exitUnavailable {
		return err
	}
	if p.Decision == nil || p.Reply == "" {
		return &problem{Status: p.Status, Code: codeUnavailable, Detail: "an unsigned refusal says nothing about the license: " + p.Error()}
	}
	pinned := c.settings.rootSet.value
	if pinned == "" {
		return err
	}
	if doubt := c.verifyReply(ctx, base, pinned, p, nonce); doubt != nil {
		return &problem{Status: p.Status, Code: codeUnavailable, Detail: "a denial that does not verify: " + doubt.Error()}
	}
	return err
}

func (c *client) verifyReply(ctx context.Context, base, pinned string, p *problem, nonce string) error {
	roots, err := readRootSet(pinned)
	if err != nil {
		return err
	}
	trusted, err := license.NewAuditor(roots)
	if err != nil {
		return err
	}
	a, err := c.send(ctx, base, call{as: anonymous, method: http.MethodGet, path: "/v1/keyset", query: url.Values{"issuer": {trusted.Issuer()}}}, "")
	if err != nil {
		return err
	}
	var set struct {
		KeySet []string `json:"keyset"`
	}
	if err := a.decode(&set); err != nil {
		return err
	}
	now := time.Now().Unix()
	if trusted, err = trusted.WithKeySet(set.KeySet, now); err != nil {
		return err
	}
	reply, err := trusted.Reply(p.Reply, nonce, now)
	if err != nil {
		return err
	}
	p.Decision = &reply.Decision
	return nil
}
