package cli

import (
	"cmp"
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

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/sdk/license"
)

// A seatRequest asks for units of a pool. Durations are whole seconds.
type seatRequest struct {
	RequestID string `json:"request_id"`
	Nonce     string `json:"nonce,omitempty"`
	Pool      string `json:"pool"`
	Units     int64  `json:"units"`
	Holder    holder `json:"holder"`
	For       int64  `json:"for,omitempty"`
	Wait      int64  `json:"wait,omitempty"`
	caller
}

// A caller is what a request says of the program that it is made for.
type caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"`
	Region   string `json:"region,omitempty"`
}

// flags declares what a program can say of itself, its instance apart.
func (by *caller) flags(flags *pflag.FlagSet) {
	flags.StringVar(&by.Service, "service", "", "what runs, for those who look what depends on what (COPYHOLD_SERVICE)")
	flags.StringVar(&by.Version, "program-version", "", "its version")
	fills(flags, "program-version", "version")
	flags.StringVar(&by.Region, "region", "", "where it runs (COPYHOLD_REGION)")
}

// caller returns by with what flags left out taken from the environment.
func (c *cli) caller(by caller) caller {
	by.Service = cmp.Or(by.Service, c.getenv("COPYHOLD_SERVICE"))
	by.Region = cmp.Or(by.Region, c.getenv("COPYHOLD_REGION"))
	return by
}

// query is by for a request without a body.
func (by caller) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"service": by.Service, "version": by.Version, "instance": by.Instance, "region": by.Region} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// A holder is who holds the seat.
type holder struct {
	Kind       string            `json:"kind"`
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	Components map[string]string `json:"components,omitempty"`
}

// Set reads KIND:ID, or an ID whose kind is user.
func (h *holder) Set(text string) error {
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

func (h *holder) String() string {
	if h.ID == "" {
		return ""
	}
	return h.Kind + ":" + h.ID
}

func (h *holder) Type() string { return "holder" }

// seatFlags declares what an acquire can say, for run and lease acquire.
func (c *cli) seatFlags(cmd *cobra.Command, want *seatRequest) {
	flags := cmd.Flags()
	flags.StringVar(&want.Pool, "pool", "", "pool to take the seat from, as the plan names it")
	unitsVar(flags, &want.Units, "units to take")
	flags.Var(&want.Holder, "holder", "who holds it: KIND:ID, or ID for a user; default who a program with the SDK is here: the pod or job, else your account where people are counted, else this machine")
	secondsVar(flags, &want.For, "for", "keep it this long, offline too (borrow), as in 8h; default as the plan says")
	secondsVar(flags, &want.Wait, "wait", "queue for at most this long if the pool is full, as in 30m")
	flags.StringToStringVar(&want.Holder.Components, "component", nil, "of a machine: NAME=HASH, by which a pool with match knows it again; default as the SDK computes them; repeatable")
	fills(flags, "component", "holder.components")
	want.caller.flags(flags)
	required(cmd, "pool")
}

// completed fills in what the flags left open; the holder is left to the license.
func (c *cli) completed(want seatRequest) seatRequest {
	want.caller = c.caller(want.caller)
	return want
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return host
}

// A seat is what the server granted.
type seat struct {
	ID         string           `json:"id"`
	Generation int64            `json:"generation"`
	Ticket     string           `json:"ticket"`
	Decision   license.Decision `json:"decision"`
	Lease      string           `json:"lease"`
}

// leaseDates are the dates in a lease document that tell when to renew. They
// pace renewals only; nothing is believed because of them.
type leaseDates struct {
	Refresh  [2]int64 `json:"refresh"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Instance string   `json:"instance"`
	Recall   *recall  `json:"recall"`
}

// dates reads the dates without verifying the document.
func (s seat) dates() leaseDates {
	var d leaseDates
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
func (d leaseDates) nextRenewal(now time.Time, spread float64) time.Duration {
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

// awaitSeat takes a seat, and waits in the queue for as long as was asked. An
// outage while waiting is part of the wait: the request id keeps the place. A
// place that nobody waits for any more is given up. Say is told what is waited for,
// each time that it is something else.
func (c *client) awaitSeat(ctx context.Context, want seatRequest, say func(string)) (answer, error) {
	waited := time.Duration(want.Wait) * time.Second
	deadline := time.Now().Add(waited)
	for told := ""; ; {
		want.Wait = min(int64(time.Until(deadline).Seconds()+1), longestHold)
		if !time.Now().Before(deadline) {
			want.Wait = 0
		}
		a, err := c.askForSeat(ctx, want)
		p, isProblem := asProblem(err)
		switch {
		case err == nil && a.status != http.StatusAccepted:
			return a, grantedOr(a)
		case err != nil && (!isProblem || p.exitStatus() != exitUnavailable):
			return a, err
		case want.Wait == 0 && err == nil:
			return a, errors.Join(queueFull(a, waited), c.giveUp(ctx, a))
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

// askForSeat sends one acquire, which the server may hold for want.Wait.
func (c *client) askForSeat(ctx context.Context, want seatRequest) (answer, error) {
	if want.Holder.ID == "" {
		components := want.Holder.Components
		h, err := c.defaultHolder(ctx, want.Pool)
		if err != nil {
			return answer{}, err
		}
		if want.Holder = h; components != nil {
			want.Holder.Components = components
		}
	}
	want.Nonce = rand.Text()
	return c.do(ctx, call{
		as: byKey, method: http.MethodPost, path: "/v1/leases", body: want,
		hold: time.Duration(want.Wait) * time.Second, nonce: want.Nonce,
	})
}

// waitsFor says why there is no seat yet, in a code and in words.
func waitsFor(a answer, err error) (code, words string) {
	if p, ok := asProblem(err); ok {
		return p.Code, p.Error()
	}
	d, err := decisionOf(a.body)
	if err != nil {
		return "", err.Error()
	}
	return d.Code, d.Reason
}

// queueFull says to somebody who does not wait what is taken and how to wait, and to
// who has waited that it was in vain.
func queueFull(queued answer, waited time.Duration) error {
	d, err := decisionOf(queued.body)
	if err != nil {
		return err
	}
	if waited > 0 {
		return exitf(exitUnavailable, "no seat became free in %s: %s", waited, d.Reason)
	}
	return exitf(exitUnavailable, "%s\n  --wait waits in the queue for one", denialText(d))
}

// giveUp leaves the queue.
func (c *client) giveUp(ctx context.Context, queued answer) error {
	var s seat
	if err := queued.decode(&s); err != nil {
		return err
	}
	_, err := c.do(ctx, call{as: byKey, method: http.MethodDelete, path: "/v1/tickets/" + url.PathEscape(s.Ticket)})
	return err
}

// grantedOr refuses an answer that holds no lease: a pool's fallback.
func grantedOr(a answer) error {
	if rawField(a.body, "lease") != nil {
		return nil
	}
	d, err := decisionOf(a.body)
	if err != nil {
		return err
	}
	return exitf(exitDenied, "%s", denialText(d))
}

// A renewal keeps a seat.
type renewal struct {
	Generation int64  `json:"generation"`
	Nonce      string `json:"nonce"`
	For        int64  `json:"for,omitempty"`
	Lease      string `json:"lease,omitempty"`
	caller
}

// call is the request that r is, for a lease.
func (r renewal) call(id string) call {
	return call{as: byKey, method: http.MethodPost, path: "/v1/leases/" + url.PathEscape(id) + "/renew", body: r}
}

// renewSeat renews a seat. The nonce stays the same until there is an answer, so that
// the server knows a repetition from a copy. A server that does not know the seat is
// shown its signed lease: it may have been restored.
func (c *client) renewSeat(ctx context.Context, s seat, nonce string, by caller) (seat, error) {
	r := renewal{Generation: s.Generation, Nonce: nonce, caller: by}
	a, err := c.do(ctx, r.call(s.ID))
	if hasCode(err, "not_found", "gone") && s.Lease != "" {
		r.Lease = s.Lease
		if shown, refused := c.do(ctx, r.call(s.ID)); refused == nil {
			a, err = shown, nil
		}
	}
	if err != nil {
		return s, err
	}
	renewed := s
	return renewed, a.decode(&renewed)
}

// hasCode reports whether a server answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var p *problem
	return errors.As(err, &p) && slices.Contains(codes, p.Code)
}

// releaseSeat gives a seat back; nonce is that of a renewal without an answer, or "".
func (c *client) releaseSeat(ctx context.Context, s seat, nonce string, by caller) error {
	query := by.query()
	query.Set("generation", strconv.FormatInt(s.Generation, 10))
	if nonce != "" {
		query.Set("nonce", nonce)
	}
	r := call{as: byKey, method: http.MethodDelete, path: "/v1/leases/" + url.PathEscape(s.ID), query: query}
	_, err := c.do(ctx, r)
	if hasCode(err, "not_found", "conflict") && s.Lease != "" {
		query.Set("lease", s.Lease)
		if _, refused := c.do(ctx, r); refused == nil {
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
