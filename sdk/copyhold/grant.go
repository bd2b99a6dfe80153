package copyhold

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"copyhold.dev/sdk/license"
)

// A leaseAnswer is believed only if a signature in it is verified.
type leaseAnswer struct {
	Decision license.Decision `json:"decision"`
	Lease    string           `json:"lease"`
	Reply    string           `json:"reply"`
	Ticket   string           `json:"ticket"`
}

// A grant is a proven answer about a lease, or a place in the queue.
type grant struct {
	proof  *proof
	key    string         // key that the request carried
	doc    *license.Lease // nil if nothing was granted
	text   string
	reply  *license.Reply // for a fallback or a denial
	ticket string         // for a place in the queue
}

// readGrant verifies an answer about a lease.
func (c *Client) readGrant(ctx context.Context, from, nonce string, a answer) (got grant, err error) {
	var body leaseAnswer
	if err := json.Unmarshal(a.body, &body); err != nil {
		return got, errors.New("the answer is not JSON of this API")
	}
	got.proof, got.key = c.newProof(nonce), a.key
	if body.Lease != "" {
		got.text = body.Lease
		got.doc, err = got.proof.lease(ctx, from, body.Lease)
		return got, err
	}
	if a.status == http.StatusAccepted {
		if got.ticket = body.Ticket; got.ticket == "" {
			return got, errors.New("the answer contains no ticket")
		}
		if body.Reply == "" {
			return got, nil // a place in the queue neither grants nor denies anything
		}
	}
	got.reply, err = got.proof.reply(ctx, from, body.Reply)
	return got, err
}

// lease verifies a lease that answers the proof's nonce.
func (p *proof) lease(ctx context.Context, from, compact string) (*license.Lease, error) {
	for {
		doc, err := p.sets.verifier.Lease(compact, signedTime(compact))
		if err == nil && doc.Nonce != p.nonce {
			err = license.ErrNonce
		}
		if err == nil || p.fetched || !needsSets(err) {
			return doc, err
		}
		p.fetched = true
		if err := p.fetch(ctx, from, signedTime(compact)); err != nil {
			return nil, err
		}
	}
}

// install applies a proven grant to the lease.
func (c *Client) install(l *Lease, got grant) error {
	if got.doc == nil {
		c.learn(got.proof, got.reply.Time)
		l.fallback, l.key, l.subject = true, got.key, got.reply.Subject
		d := got.reply.Decision
		l.decision.Store(&d)
		return nil
	}
	c.learn(got.proof, got.doc.IssuedAt)
	if l.doc != nil {
		if err := mayReplace(got.doc.MayReplace(l.doc), got.doc.Claims, l.doc.Claims); err != nil {
			return err
		}
	}
	l.doc, l.compact, l.fallback, l.lost, l.nonce = got.doc, got.text, false, nil, ""
	l.key, l.subject = got.key, got.doc.Subject
	l.keep = l.keep || got.doc.Instance == "" // it has no end: an activation
	l.renew.between(got.doc.Refresh)
	return nil
}
