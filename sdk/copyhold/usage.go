package copyhold

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

const (
	usageBatch = 500              // events in a request
	usageEvery = 60 * time.Second // between requests, minus up to a fifth
	maxID      = 128
	lastDate   = 253402300798 // the last but one second of the year 9999, which is the limit of servers
)

// A Usage is an event on a meter.
type Usage struct {
	// ID makes the event count once, however often it is recorded; "" means a random id.
	ID    string `json:"id"`
	Meter string `json:"meter"`
	// Quantity is a decimal number in the meter's unit, with at most as many decimal places as the
	// meter's scale.
	Quantity string `json:"quantity"`
	// At is when it happened. The zero time means now, by the server's clock.
	At time.Time `json:"at,omitzero"`
}

// Record counts quantity whole units, 0 or more, on a meter. It writes the event to the spool in
// the cache folder and returns. The client sends it in the background and keeps it until the server
// has it; the server counts it once. A power failure can lose events from the last second. The end
// of the process loses none.
//
// It fails with ErrUsage if no server would count the event, because the quantity is negative or
// the current license does not have the meter. It fails with ErrSpoolFull at Options.SpoolLimit,
// with ErrCache if the folder can't be written, with ErrNoKey if no license could be charged, and
// with ErrClosed. If a server refuses the event later, the client calls Options.OnUsageRefused.
func (c *Client) Record(meter string, quantity int64) error {
	return c.RecordUsage(Usage{Meter: meter, Quantity: strconv.FormatInt(quantity, 10)})
}

// RecordUsage is Record for events with their own ids, fractions, or times. It records all of them
// or none.
func (c *Client) RecordUsage(events ...Usage) error {
	if c == nil {
		return ErrClosed
	}
	c.mu.Lock()
	now, held := c.clock.best(), c.document.license
	c.mu.Unlock()
	kept := make([]Usage, len(events))
	for i, u := range events {
		if u.ID == "" {
			u.ID = rand.Text()
		}
		if u.At.IsZero() {
			u.At = time.Unix(now, 0)
		}
		u.At = u.At.UTC()
		if err := u.check(held); err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
		kept[i] = u
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.keyless() && c.key.err == nil {
		return fmt.Errorf("recording usage that no license could be charged for: %w", ErrNoKey)
	}
	if err := c.drawer.spool.append(kept...); err != nil {
		return err
	}
	c.planFlushLocked()
	return nil
}

// check refuses an event that no server would accept, so that it cannot block others. Without a
// license the meters are not known. A document that only records how the license ended can omit
// them.
func (u Usage) check(held *license.License) error {
	if u.Meter == "" || len(u.Meter) > maxID || len(u.ID) > maxID {
		return fmt.Errorf("the meter %q or the event's id is missing or longer than %d bytes", u.Meter, maxID)
	}
	if err := checkIdentifiers(map[string]string{"the meter": u.Meter, "the event's id": u.ID}); err != nil {
		return err
	}
	if held != nil && (held.Status == license.Active || len(held.Meters) > 0) {
		if _, known := held.Meters[u.Meter]; !known {
			return fmt.Errorf("the license %s has no meter %q", held.Subject, u.Meter)
		}
	}
	if at := u.At.Unix(); at < 1 || at > lastDate {
		return fmt.Errorf("the time %v is not between 1970 and 9999", u.At)
	}
	digits, points := 0, 0
	for i, r := range u.Quantity {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '.':
			points++
		case r == '-' && i == 0:
			return fmt.Errorf("quantity %q must not be negative", u.Quantity)
		default:
			return fmt.Errorf("quantity %q is not a decimal number", u.Quantity)
		}
	}
	if digits == 0 || digits > 18 || points > 1 {
		return fmt.Errorf("quantity %q must be a decimal number of at most 18 digits", u.Quantity)
	}
	if whole, _, _ := strings.Cut(u.Quantity, "."); len(whole) > 15 {
		if n, err := strconv.ParseInt(whole, 10, 64); err != nil || n > license.MaxInt {
			return fmt.Errorf("quantity %q is greater than %d", u.Quantity, int64(license.MaxInt))
		}
	}
	return nil
}

// planFlush schedules unsent events within a minute, or at once if they fill a batch.
func (c *Client) planFlush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.planFlushLocked()
}

func (c *Client) planFlushLocked() {
	events, _ := c.drawer.spool.pending()
	boot := c.sys.boot()
	if events >= usageBatch {
		c.flush.hasten(boot)
		return
	}
	if events > 0 && c.flush.hurry == 0 {
		c.flush.hasten(boot + usageEvery - jitter(usageEvery/5))
	}
}

type usageRequest struct {
	Events []Usage `json:"events"`
	Nonce  string  `json:"nonce"`
	caller
}

type usageAnswer struct {
	Results []usageResult `json:"results"`
	Reply   string        `json:"reply"`
}

type usageResult struct {
	ID       string           `json:"id"`
	Status   string           `json:"status"` // recorded, duplicate, denied or invalid
	Decision license.Decision `json:"decision"`
	Reason   string           `json:"reason"` // why the event is invalid
}

// A UsageRefusal is an event that a server did not count. Err is ErrDenied with the signed
// decision, for example because a quota is used up, or ErrUsage if the event can't be counted.
type UsageRefusal struct {
	Usage Usage
	Err   error
}

// sendUsage sends all unsent events, oldest first, with the key that they belong to. It sends
// nothing while the license of a new key is not known.
func (c *Client) sendUsage(ctx context.Context) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	for {
		c.mu.Lock()
		spool, key, sends := c.drawer.spool, c.key.text, c.sends()
		if !sends {
			c.flush = schedule{}
		}
		c.mu.Unlock()
		if events, _ := spool.pending(); !sends && events > 0 {
			return classify(ErrUnavailable, errors.New("usage is kept and not sent: no server has stated yet which license the key belongs to"))
		}
		if !sends {
			return nil
		}
		events, m, err := spool.batch(usageBatch)
		err = classify(ErrCache, err)
		if err == nil && len(events) == 0 && m.bytes == 0 {
			c.mu.Lock()
			c.flush = schedule{}
			c.mu.Unlock()
			c.planFlush() // for events recorded in the meantime
			return nil
		}
		if err == nil && len(events) > 0 {
			err = classify(ErrUnavailable, c.sendBatch(ctx, events, key))
		}
		if err == nil {
			err = classify(ErrCache, spool.drop(m))
		}
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.flush.failed(c.sys.boot(), c.usageFloor(), retryLimit, retryOf(err))
			return fmt.Errorf("sending usage (it is kept): %w", err)
		}
	}
}

// usageFloor returns the minimum wait after a failure, which is the same as for the license.
func (c *Client) usageFloor() time.Duration {
	if doc := c.document.license; doc != nil {
		floor, _ := pace(doc.Claims, doc.Dates)
		return floor
	}
	return retryFloor
}

func (c *Client) sendBatch(ctx context.Context, events []Usage, key string) error {
	request := usageRequest{Events: events, Nonce: rand.Text(), caller: c.caller(c.instance)}
	var body usageAnswer
	var signed *license.Reply
	var p *proof
	err := c.net.do(ctx, call{
		method: http.MethodPost, path: "/v1/usage", body: request, timeout: attemptTimeout, key: key,
		accept: func(ctx context.Context, from string, a answer) (err error) {
			body = usageAnswer{}
			if err := json.Unmarshal(a.body, &body); err != nil || len(body.Results) != len(events) {
				return errors.New("the answer does not give a result for every event")
			}
			p = c.newProof(request.Nonce)
			if signed, err = p.reply(ctx, from, body.Reply); err != nil {
				return err
			}
			return body.covered(signed)
		},
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learn(p, signed.Time)
	for i, r := range body.Results {
		c.counted(events[i], r)
	}
	return nil
}

// covered refuses a denial that the signed reply does not contain. The reply contains the first
// denial.
func (a usageAnswer) covered(signed *license.Reply) error {
	for _, r := range a.Results {
		if r.Decision.Outcome == license.Denied && signed.Decision.Outcome != license.Denied {
			return errors.New("the denial of event " + r.ID + " is not signed")
		}
	}
	return nil
}

// counted records the result for an event.
func (c *Client) counted(u Usage, r usageResult) {
	switch r.Status {
	case "recorded", "duplicate":
	default:
		err := classify(ErrUsage, errors.New("copyhold: the server refused the event: "+r.Reason))
		if r.Decision.Outcome == license.Denied {
			err = &DecisionError{Decision: r.Decision}
		}
		c.log.Error("usage was not counted", "id", u.ID, "meter", u.Meter, "quantity", u.Quantity, "status", r.Status, "error", err)
		if c.options.OnUsageRefused != nil {
			c.later(&c.refusals, func() {
				c.called("OnUsageRefused", func() { c.options.OnUsageRefused(UsageRefusal{u, err}) })
			})
		}
	}
	if r.Decision.Outcome != "" {
		c.quotas[u.Meter] = r.Decision
	}
}

// Quota returns the last signed decision on a meter. The outcome is unavailable if there is none,
// or if the period of a used-up quota is over. Quota asks no server.
func (c *Client) Quota(meter string) license.Decision {
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if d, ok := c.quotas[meter]; ok && (d.Outcome != license.Denied || d.NextAt == 0 || c.now.Load() < d.NextAt) {
			return d
		}
	}
	return license.Decision{
		Outcome: license.Unavailable, Code: license.CodeUnavailable,
		Reason: "no usage of the meter " + meter + " has been counted yet in this period", Rule: "meter.quota",
	}
}
