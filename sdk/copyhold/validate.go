package copyhold

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"copyhold.dev/sdk/license"
)

const (
	firstFloor = 2 * time.Second // between attempts while there is no license
)

type validateRequest struct {
	Product   string `json:"product"`
	Nonce     string `json:"nonce"`
	Holder    Holder `json:"holder"`
	DeviceKey string `json:"device_key,omitempty"`
	Released  int64  `json:"released,omitempty"`
	caller
}

// A validateAnswer is believed only if a signature in it is verified.
type validateAnswer struct {
	License     string `json:"license"`
	Reply       string `json:"reply"`
	KeySet      int64  `json:"keyset"`
	Revocations int64  `json:"revocations"`
}

// A validated answer is a proven one.
type validated struct {
	asked   int    // number of the request
	key     string // key that the request carried
	time    clockRecord
	proof   *proof
	reply   *license.Reply
	answer  validateAnswer
	license *license.License // nil if the reply denies
	list    *license.Revocations
	listed  string // the revocation list, compact
}

// refreshNow fetches the license and records the outcome.
func (c *Client) refreshNow(ctx context.Context, attempts int) error {
	got, err := c.validate(ctx, attempts, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.sys.boot()
	if err == nil {
		err = c.take(got)
	}
	if err != nil && ctx.Err() != nil {
		c.refresh.hasten(boot)
		return err
	}
	if err == nil {
		if c.refresh.due(c.clock.read().now, boot) { // the server sent the same document again
			c.refresh.wait = boot + firstFloor
		}
		c.persist()
		c.apply()
		return nil
	}
	floor, limit := firstFloor, retryLimit
	if doc := c.document.license; doc != nil {
		floor, limit = pace(doc.Claims, doc.Dates)
	}
	c.refresh.failed(boot, floor, limit, retryOf(err))
	if c.contact.err == nil && c.key.err == nil && !errors.Is(err, ErrNoKey) {
		c.log.Warn("the license cannot be refreshed; the current one remains in force until its dates", "error", err)
	}
	if c.failed = c.sys.moment(); !errors.Is(err, ErrNoKey) {
		c.contact.err = err
	}
	c.persist()
	c.apply()
	return err
}

// validate asks what the license of a key allows; "" means the key in use.
func (c *Client) validate(ctx context.Context, attempts int, key string) (got validated, err error) {
	c.mu.Lock()
	c.asked++
	asked, keyless := c.asked, c.key.text == "" && key == ""
	c.mu.Unlock()
	if keyless {
		return got, ErrNoKey
	}
	question := c.sys.ask()
	nonce := question.nonce()
	request := validateRequest{
		Product: c.options.Product, Nonce: nonce, Holder: unnamed(c.holder), caller: c.caller(c.instance),
	}
	if c.options.Sealed {
		request.DeviceKey = c.devicePublic()
	}
	if !c.options.Released.IsZero() {
		request.Released = c.options.Released.Unix()
	}
	err = c.net.do(ctx, call{
		method: http.MethodPost, path: "/v1/validate", body: request, attempts: attempts, timeout: attemptTimeout, key: key,
		accept: func(ctx context.Context, from string, a answer) (err error) {
			got, err = c.readValidate(ctx, from, nonce, a)
			return err
		},
	})
	got.asked, got.time = asked, question
	got.time.Reply = got.answer.Reply
	return got, err
}

func (c *Client) readValidate(ctx context.Context, from, nonce string, a answer) (got validated, err error) {
	if err := json.Unmarshal(a.body, &got.answer); err != nil {
		return got, errors.New("the answer is not JSON of this API")
	}
	got.proof, got.key = c.newProof(nonce), a.key
	if got.reply, err = got.proof.reply(ctx, from, got.answer.Reply); err != nil {
		return got, err
	}
	now := got.reply.Time
	if got.answer.License != "" {
		if err := got.reply.Covers(got.answer.License); err != nil {
			return got, err
		}
		if got.license, err = got.proof.sets.verifier.License(got.answer.License, now); err != nil {
			return got, err
		}
	} else if got.reply.Decision.Outcome != license.Denied {
		return got, errors.New("the reply allows, but the answer contains no license")
	}
	got.more(ctx, from)
	return got, nil
}

// more fetches newer sets that the answer announces. A failure here does not affect what is already
// proven.
func (got *validated) more(ctx context.Context, from string) {
	p := got.proof
	if got.answer.KeySet > p.sets.verifier.KeySet().Number && !p.fetched {
		if err := p.fetch(ctx, from, got.reply.Time); err != nil {
			p.client.log.Warn("fetching the key set", "error", err)
		}
	}
	held := p.sets.revocations
	if got.answer.Revocations == 0 || held != nil && held.Seq.Counter >= got.answer.Revocations {
		return
	}
	if err := got.fetchRevocations(ctx, from); err != nil {
		p.client.log.Warn("fetching the revocations", "error", err)
	}
}

func (got *validated) fetchRevocations(ctx context.Context, from string) error {
	v := got.proof.sets.verifier
	c := call{method: http.MethodGet, path: issuerPath("/v1/revocations", v)}
	a, err := got.proof.client.net.send(ctx, from, c, nil)
	if err != nil {
		return err
	}
	var body struct {
		Revocations string `json:"revocations"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Revocations == "" {
		return fmt.Errorf("the answer contains no list%s", a.problem())
	}
	list, err := v.Revocations(body.Revocations, got.reply.Time)
	if err != nil {
		return err
	}
	got.list, got.listed = list, body.Revocations
	return nil
}

// take applies a proven answer to the client. It ignores an answer that has been superseded by the
// answer to a later request or by another key.
func (c *Client) take(got validated) error {
	if got.asked < c.taken {
		return nil
	}
	if got.key != c.key.text {
		return errors.New("the license key was changed in the meantime")
	}
	c.taken = got.asked
	c.learn(got.proof, got.reply.Time)
	c.answered, c.last, c.failed = got.time, got.time.moment(got.reply.Time), moment{}
	c.cache.count(0)
	c.prove(got.reply.Subject)
	if got.list != nil && (c.trust.revocations == nil || got.list.MayReplace(c.trust.revocations) == nil) {
		c.trust.revocations, c.trust.revoked = got.list, got.listed
	}
	if got.license != nil {
		if err := c.hold(got.license, got.answer.License); err != nil {
			return err
		}
	} else if held := c.document.license; held != nil && held.Subject != got.reply.Subject {
		c.document.license, c.document.compact, c.document.mismatch = nil, "", 0
	}
	c.trust.no = nil
	if d := got.reply.Decision; got.license == nil { // otherwise the document itself has the decision
		c.trust.no = &refusal{
			Reply: got.answer.Reply, Nonce: got.reply.Nonce,
			subject: got.reply.Subject, decision: &d, at: got.reply.Time,
		}
		c.refresh = schedule{}
		c.refresh.failed(c.sys.boot(), retryFloor, retryLimit, 0)
	}
	c.refresh.failures = 0
	return nil
}

func (c *Client) devicePublic() string {
	key, err := ecdh.X25519().NewPrivateKey(c.device)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
}

// deviceName returns the thumbprint that documents are bound to.
func (c *Client) deviceName() string {
	key, err := ecdh.X25519().NewPrivateKey(c.device)
	if err != nil {
		return ""
	}
	return license.DeviceThumbprint(key.PublicKey().Bytes())
}
