package copyhold

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"copyhold.dev/sdk/license"
)

// trust is everything that was verified, except the license itself. The client's lock guards it.
type trust struct {
	verifier    *license.Verifier
	rootSets    [][]string // all since the pinned one, oldest first
	keySet      []string
	revocations *license.Revocations
	revoked     string // the revocation list, compact
	no          *refusal
}

// A refusal is a signed denial from the server, with its proof.
type refusal struct {
	Reply    string            `json:"reply"`
	Nonce    string            `json:"nonce"`
	subject  string            // the license's id
	decision *license.Decision // as the server signed it
	at       int64
}

func (t *trust) refusal() *license.Decision {
	if t.no == nil {
		return nil
	}
	return t.no.decision
}

// revocation returns the revocation that ends the rights of a license or lease early, or nil.
func (t *trust) revocation(subject string) *license.Revocation {
	if t.revocations != nil {
		if r := t.revocations.Of(subject); r != nil {
			return r
		}
	}
	if t.no == nil || t.no.subject != subject {
		return nil
	}
	if code := t.no.decision.Code; code != license.CodeRevoked && code != license.CodeSuspended {
		return nil
	}
	return &license.Revocation{
		Subject: subject, At: t.no.at, Reason: t.no.decision.Reason,
		Fallback: t.no.decision.State == license.StateDegraded,
	}
}

// signedTime reads when an answer was made before its signature is verified. The clock of this
// machine may be wrong by years, so it has no say in whether an answer is fresh. The nonce proves
// that, and the signature proves the time.
func signedTime(compact string) int64 {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return 0
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0
	}
	var claims struct {
		Time     int64 `json:"time"`
		IssuedAt int64 `json:"iat"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return 0
	}
	return max(claims.Time, claims.IssuedAt)
}

// A proof verifies the answers to one request. If necessary, it fetches newer sets from the
// endpoint that answered. It belongs to one goroutine.
type proof struct {
	client  *Client
	nonce   string
	sets    trust // verifier, rootSet, and keySet grow; the rest is a copy of the client's
	fetched bool
}

// reply verifies a reply to the proof's nonce.
func (p *proof) reply(ctx context.Context, from, compact string) (*license.Reply, error) {
	if compact == "" {
		return nil, errors.New("the answer is not signed")
	}
	for {
		r, err := p.sets.verifier.Reply(compact, p.nonce, signedTime(compact))
		if err == nil || p.fetched || !needsSets(err) {
			return r, err
		}
		p.fetched = true
		if err := p.fetch(ctx, from, signedTime(compact)); err != nil {
			return nil, err
		}
	}
}

func needsSets(err error) bool {
	return errors.Is(err, license.ErrUnknownKey) || errors.Is(err, license.ErrKeySetExpired) || errors.Is(err, license.ErrWithdrawn)
}

// fetch accepts a newer key set, and a newer root set if the key set needs one.
func (p *proof) fetch(ctx context.Context, from string, now int64) error {
	keys, err := p.list(ctx, from, "keyset", "")
	if err != nil {
		return err
	}
	next, err := p.sets.verifier.WithKeySet(keys, now)
	for errors.Is(err, license.ErrThreshold) || errors.Is(err, license.ErrExpired) {
		if rootErr := p.followRoot(ctx, from, now); rootErr != nil {
			return errors.Join(err, rootErr)
		}
		next, err = p.sets.verifier.WithKeySet(keys, now)
	}
	if errors.Is(err, license.ErrRollback) {
		return nil // it is older than the one in force
	}
	if err != nil {
		return fmt.Errorf("trusting the key set: %w", err)
	}
	p.sets.verifier, p.sets.keySet = next, keys
	return nil
}

// followRoot accepts the root set after the one in force. Each root set is signed by the one
// before.
func (p *proof) followRoot(ctx context.Context, from string, now int64) error {
	v := p.sets.verifier
	list, err := p.list(ctx, from, "rootset", "&number="+strconv.FormatInt(v.RootSet().Number+1, 10))
	if err != nil {
		return err
	}
	next, err := v.WithRootSet(list, now)
	if err != nil {
		return fmt.Errorf("trusting the next root set: %w", err)
	}
	if next == v {
		return errors.New("the endpoint has no later root set")
	}
	p.sets.verifier, p.sets.rootSets = next, append(slices.Clip(p.sets.rootSets), list)
	return nil
}

// list asks an endpoint for a signed set. That is a list of compact JWS, either as the whole body
// or in the member named after the set.
func (p *proof) list(ctx context.Context, from, set, query string) ([]string, error) {
	path := issuerPath("/v1/"+set, p.sets.verifier) + query
	a, err := p.client.net.send(ctx, from, call{method: http.MethodGet, path: path}, nil)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	body := a.body
	if json.Unmarshal(body, &members) == nil {
		body = members[set]
	}
	var list []string
	if err := json.Unmarshal(body, &list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("the answer contains no %s%s", set, a.problem())
	}
	return list, nil
}

func issuerPath(path string, v *license.Verifier) string {
	return path + "?issuer=" + url.QueryEscape(v.Issuer())
}

// newProof starts the proof for a request.
func (c *Client) newProof(nonce string) *proof {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &proof{client: c, nonce: nonce, sets: c.trust}
}

// learn keeps the sets that a proof accepted, and the time of a fresh reply.
func (c *Client) learn(p *proof, signed int64) {
	if newer(p.sets.verifier, c.trust.verifier) {
		c.trust.verifier, c.trust.rootSets, c.trust.keySet = p.sets.verifier, p.sets.rootSets, p.sets.keySet
	}
	if c.clock.advance(signed, true) {
		c.renewAll()
	}
	c.doubt.since = c.sys.boot()
	c.contact = contact{at: signed}
}

// renewAll makes every document due for a refresh. They were signed with a wrong time, and their
// refresh windows follow that time.
func (c *Client) renewAll() {
	boot := c.sys.boot()
	c.refresh.hasten(boot)
	for _, l := range c.leases {
		l.renew.hasten(boot)
	}
}

// newer reports whether v trusts later sets than held does. The root set is compared first because
// a key set is numbered within its root set.
func newer(v, held *license.Verifier) bool {
	if v.RootSet().Number != held.RootSet().Number {
		return v.RootSet().Number > held.RootSet().Number
	}
	return v.KeySet().Number > held.KeySet().Number
}
