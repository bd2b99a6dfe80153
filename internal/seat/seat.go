package seat

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

// A Request asks for units of a pool. Durations are whole seconds.
type Request struct {
	RequestID string `json:"request_id"`
	Nonce     string `json:"nonce,omitempty"`
	Pool      string `json:"pool"`
	Units     int64  `json:"units"`
	Holder    Holder `json:"holder"`
	For       int64  `json:"for,omitempty"`
	Wait      int64  `json:"wait,omitempty"`
	Caller
}

// A Caller is what a request says of the program that it is made for.
type Caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"`
	Region   string `json:"region,omitempty"`
}

// Query returns by for a request without a body.
func (by Caller) Query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"service": by.Service, "version": by.Version, "instance": by.Instance, "region": by.Region} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// A Holder is who holds the seat: a pflag.Value.
type Holder struct {
	Kind       string            `json:"kind"`
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Components map[string]string `json:"components,omitempty"`
}

// Set reads KIND:ID, or an ID whose kind is user.
func (h *Holder) Set(text string) error {
	kind, id, found := strings.Cut(text, ":")
	if !found {
		kind, id = "user", text
	}
	if kind == "" || id == "" {
		return errors.New("write KIND:ID, as in machine:build-7, or only ID for a user")
	}
	h.Kind, h.ID = kind, id
	return nil
}

// String returns KIND:ID, or "" for nobody.
func (h *Holder) String() string {
	if h.ID == "" {
		return ""
	}
	return h.Kind + ":" + h.ID
}

// Type is the name of the value in a flag's help.
func (h *Holder) Type() string { return "holder" }

// HostName returns the name of this machine, localhost if it has none.
func HostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return host
}

// A Seat is what the server granted.
type Seat struct {
	ID         string           `json:"id"`
	Generation int64            `json:"generation"`
	Ticket     string           `json:"ticket"`
	Decision   license.Decision `json:"decision"`
	Lease      string           `json:"lease"`
}

// Dates are the dates in a lease document that tell when to renew, in seconds since 1970.
// They pace renewals only; nothing is believed because of them.
type Dates struct {
	Refresh  [2]int64 `json:"refresh"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Instance string   `json:"instance"`
	Recall   *recall  `json:"recall"`
}

// Dates reads the dates without verifying the document.
func (s Seat) Dates() Dates {
	var d Dates
	_ = readClaims(s.Lease, &d) // no dates: renew at the default pace
	return d
}

// readClaims reads a signed document without verifying it, for what nothing is
// believed of.
func readClaims(compact string, into any) error {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return errors.New("it is no signed document")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, into)
}

// nextRenewal is how long to wait before renewing: a place in the window that the
// server gave, or a third of what is left.
func (d Dates) nextRenewal(now time.Time, spread float64) time.Duration {
	const soonest, latest = time.Second, time.Minute
	wait := latest
	switch from, to := d.Refresh[0], d.Refresh[1]; {
	case from > 0 && to >= from:
		wait = time.Unix(from, 0).Sub(now) + time.Duration(spread*float64(to-from)*float64(time.Second))
	case d.Expires > 0:
		wait = time.Unix(d.Expires, 0).Sub(now) / 3
	}
	return max(wait, soonest)
}

// retryPause is how long a waiter pauses before it asks for its place again.
const retryPause = time.Second

// longestHold bounds how long a server is asked to hold one request, in seconds: one
// that died is noticed soon, and the request id keeps the place in the queue.
const longestHold = 25

// Acquire takes a seat, and waits in the queue for want.Wait seconds. An outage while waiting
// is part of the wait: the request id keeps the place. A place that nobody waits for any more
// is given up. Say is called with what is waited for, each time that it changes. The error is
// a *client.Error if the answer holds no lease, and otherwise as of client.Client.Do.
func Acquire(ctx context.Context, c *client.Client, want Request, say func(string)) (client.Answer, error) {
	waited := time.Duration(want.Wait) * time.Second
	deadline := time.Now().Add(waited)
	for told := ""; ; {
		want.Wait = min(int64(time.Until(deadline).Seconds()+1), longestHold)
		if !time.Now().Before(deadline) {
			want.Wait = 0
		}
		a, err := acquire(ctx, c, want)
		p, isProblem := client.AsProblem(err)
		switch {
		case err == nil && a.Status != http.StatusAccepted:
			return a, grantedOr(a)
		case err != nil && (!isProblem || client.KindOf(p) != client.Unavailable):
			return a, err
		case want.Wait == 0 && err == nil:
			return a, errors.Join(queueFull(a, waited), giveUp(ctx, c, a))
		case want.Wait == 0:
			return a, err
		}
		if code, words := waitsFor(a, err); code != told {
			told = code
			say("waiting for a seat: " + words)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(min(retryPause, time.Until(deadline))):
		}
	}
}

// acquire sends one request, which the server may hold for want.Wait.
func acquire(ctx context.Context, c *client.Client, want Request) (client.Answer, error) {
	if want.Holder.ID == "" {
		components := want.Holder.Components
		h, err := defaultHolder(ctx, c, want.Pool)
		if err != nil {
			return client.Answer{}, err
		}
		if want.Holder = h; components != nil {
			want.Holder.Components = components
		}
	}
	want.Nonce = rand.Text()
	return c.Do(ctx, client.Call{
		As: client.ByKey, Method: http.MethodPost, Path: "/v1/leases", Body: want,
		Hold: time.Duration(want.Wait) * time.Second, Nonce: want.Nonce,
	})
}

// waitsFor says why there is no seat yet, in a code and in words.
func waitsFor(a client.Answer, err error) (code, words string) {
	if p, ok := client.AsProblem(err); ok {
		return p.Code, p.Error()
	}
	d, err := client.DecisionOf(a.Body)
	if err != nil {
		return "", err.Error()
	}
	return d.Code, d.Reason
}

// queueFull says to somebody who does not wait what is taken and how to wait, and to
// who has waited that it was in vain.
func queueFull(queued client.Answer, waited time.Duration) error {
	d, err := client.DecisionOf(queued.Body)
	if err != nil {
		return err
	}
	if waited > 0 {
		return client.Errorf(client.Unavailable, "no seat became free in %s: %s", waited, d.Reason)
	}
	return client.Errorf(client.Unavailable, "%s\n  --wait waits in the queue for one", client.DenialText(d))
}

// giveUp leaves the queue.
func giveUp(ctx context.Context, c *client.Client, queued client.Answer) error {
	var s Seat
	if err := queued.Decode(&s); err != nil {
		return err
	}
	_, err := c.Do(ctx, client.Call{As: client.ByKey, Method: http.MethodDelete, Path: "/v1/tickets/" + url.PathEscape(s.Ticket)})
	return err
}

// grantedOr refuses an answer that holds no lease: a pool's fallback.
func grantedOr(a client.Answer) error {
	if client.Member(a.Body, "lease") != nil {
		return nil
	}
	d, err := client.DecisionOf(a.Body)
	if err != nil {
		return err
	}
	return client.Errorf(client.Denied, "%s", client.DenialText(d))
}

// A Renewal keeps a seat. Durations are whole seconds.
type Renewal struct {
	Generation int64  `json:"generation"`
	Nonce      string `json:"nonce"`
	For        int64  `json:"for,omitempty"`
	Lease      string `json:"lease,omitempty"`
	Caller
}

// Call returns the request that r is, for the lease with an id.
func (r Renewal) Call(id string) client.Call {
	return client.Call{As: client.ByKey, Method: http.MethodPost, Path: "/v1/leases/" + url.PathEscape(id) + "/renew", Body: r}
}

// Renew renews a seat. The nonce stays the same until there is an answer, so that
// the server knows a repetition from a copy. A server that does not know the seat is
// shown its signed lease: it may have been restored.
func Renew(ctx context.Context, c *client.Client, s Seat, nonce string, by Caller) (Seat, error) {
	r := Renewal{Generation: s.Generation, Nonce: nonce, Caller: by}
	a, err := c.Do(ctx, r.Call(s.ID))
	if hasCode(err, "not_found", "gone") && s.Lease != "" {
		r.Lease = s.Lease
		if shown, refused := c.Do(ctx, r.Call(s.ID)); refused == nil {
			a, err = shown, nil
		}
	}
	if err != nil {
		return s, err
	}
	renewed := s
	return renewed, a.Decode(&renewed)
}

// hasCode reports whether a server answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var p *client.Problem
	return errors.As(err, &p) && slices.Contains(codes, p.Code)
}

// Release gives a seat back. Nonce is that of a renewal without an answer, or "". A seat that is
// back already is no error.
func Release(ctx context.Context, c *client.Client, s Seat, nonce string, by Caller) error {
	query := by.Query()
	query.Set("generation", strconv.FormatInt(s.Generation, 10))
	if nonce != "" {
		query.Set("nonce", nonce)
	}
	r := client.Call{As: client.ByKey, Method: http.MethodDelete, Path: "/v1/leases/" + url.PathEscape(s.ID), Query: query}
	_, err := c.Do(ctx, r)
	if hasCode(err, "not_found", "conflict") && s.Lease != "" {
		query.Set("lease", s.Lease)
		if _, refused := c.Do(ctx, r); refused == nil {
			return nil
		}
	}
	if hasCode(err, "not_found", "gone") {
		return nil // it is back already
	}
	if err != nil {
		return fmt.Errorf("releasing %s: %w", s.ID, err)
	}
	return nil
}
