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

// A Request requests units of a pool. Durations are in whole seconds.
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

// A Caller describes the program that a request is made for.
type Caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"`
	Region   string `json:"region,omitempty"`
}

// Query returns by as query parameters, for a request without a body.
func (by Caller) Query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"service": by.Service, "version": by.Version, "instance": by.Instance, "region": by.Region} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// A Holder is the holder of a seat. It implements pflag.Value.
type Holder struct {
	Kind       string            `json:"kind"`
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Components map[string]string `json:"components,omitempty"`
}

// Set reads KIND:ID, or only an ID, whose kind is user.
func (h *Holder) Set(text string) error {
	kind, id, found := strings.Cut(text, ":")
	if !found {
		kind, id = "user", text
	}
	if kind == "" || id == "" {
		return errors.New("use the form KIND:ID, for example machine:build-7, or only ID for a user")
	}
	h.Kind, h.ID = kind, id
	return nil
}

// String returns KIND:ID, or "" if there is no holder.
func (h *Holder) String() string {
	if h.ID == "" {
		return ""
	}
	return h.Kind + ":" + h.ID
}

// Type is the name of the value in a flag's help.
func (h *Holder) Type() string { return "holder" }

// HostName returns the name of this machine, or localhost if it has none.
func HostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return host
}

// A Seat is a lease that the server granted.
type Seat struct {
	ID         string           `json:"id"`
	Generation int64            `json:"generation"`
	Ticket     string           `json:"ticket"`
	Decision   license.Decision `json:"decision"`
	Lease      string           `json:"lease"`
}

// Dates are the dates in a lease document that determine when to renew, in seconds since 1970.
// They only pace renewals; they are not trusted for anything else.
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

// readClaims reads a signed document without verifying it. Use it only for values that need
// not be trusted.
func readClaims(compact string, into any) error {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return errors.New("not a signed document")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, into)
}

// nextRenewal returns how long to wait before renewing: until a point in the server's refresh
// window, or a third of the remaining time.
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

// retryPause is how long a waiting request pauses before it is repeated.
const retryPause = time.Second

// longestHold is the longest time that a server is asked to hold one request, in seconds. It
// is short, so that a dead server is noticed soon; the request id keeps the place in the queue.
const longestHold = 25

// Acquire takes a seat, and waits in the queue for at most want.Wait seconds. An outage counts
// as part of the wait: the request id keeps the place. When the wait is over, Acquire leaves
// the queue. It calls say with the reason for the wait each time that the reason changes. The
// error is a *client.Error if the answer contains no lease, and otherwise that of client.Client.Do.
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

// acquire sends one request, which the server may hold for want.Wait seconds.
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

// waitsFor returns why there is no seat yet, as a code and in words.
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

// queueFull returns the error for a request that got no seat: how to wait, if it did not wait,
// and otherwise that the wait is over.
func queueFull(queued client.Answer, waited time.Duration) error {
	d, err := client.DecisionOf(queued.Body)
	if err != nil {
		return err
	}
	if waited > 0 {
		return client.Errorf(client.Unavailable, "no seat became free within %s: %s", waited, d.Reason)
	}
	return client.Errorf(client.Unavailable, "%s\n  use --wait to wait in the queue", client.DenialText(d))
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

// grantedOr returns an error for an answer without a lease: a pool's fallback.
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

// A Renewal renews a seat. Durations are in whole seconds.
type Renewal struct {
	Generation int64  `json:"generation"`
	Nonce      string `json:"nonce"`
	For        int64  `json:"for,omitempty"`
	Lease      string `json:"lease,omitempty"`
	Caller
}

// Call returns the request for r, for the lease with this id.
func (r Renewal) Call(id string) client.Call {
	return client.Call{As: client.ByKey, Method: http.MethodPost, Path: "/v1/leases/" + url.PathEscape(id) + "/renew", Body: r}
}

// Renew renews a seat. Use the same nonce until there is an answer, so that the server can
// tell a repetition from a copy. If the server does not know the seat, it may have been
// restored, so Renew then sends the signed lease.
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

// Release releases a seat. Nonce is that of a renewal without an answer, or "". Releasing a
// seat that was already released is not an error.
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
		return nil // already released
	}
	if err != nil {
		return fmt.Errorf("releasing %s: %w", s.ID, err)
	}
	return nil
}
