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
	usageEvery = 60 * time.Second // between requests, less up to a fifth
	maxID      = 128
	lastDate   = 253402300798 // the last second but one of the year 9999, as servers take dates
)

// A Usage is an event on a meter.
type Usage struct {
	// ID makes the event count once, however often it is recorded; "" gets a random one.
	ID    string `json:"id"`
	Meter string `json:"meter"`
	// Quantity is a decimal number in the meter's unit, with at most its scale's places.
	Quantity string `json:"quantity"`
	// At is when it happened; zero is now, by the clock that the server gave.
	At time.Time `json:"at,omitzero"`
}

// Record counts quantity whole units, 0 or more, on a meter. It writes to the spool in
// the cache folder and returns: the event is sent in the background, once, and kept until
// the server has it. What was recorded in the last second can be lost with the power, and
// nothing with the process. It fails with ErrUsage for what no server would count: a quantity
// below zero, or a meter that the license which is held does not have. It fails with
// ErrSpoolFull at Options.SpoolLimit, with ErrCache if the folder can't be written, with
// ErrNoKey while nobody could be charged, and with ErrClosed. What a server refuses later is
// given to Options.OnUsageRefused.
func (c *Client) Record(meter string, quantity int64) error {
	return c.RecordUsage(Usage{Meter: meter, Quantity: strconv.FormatInt(quantity, 10)})
}

// RecordUsage is Record for events that bring their own ids, fractions or times. All of
// them are kept, or none.
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
		return fmt.Errorf("recording usage, which nobody could be charged for: %w", ErrNoKey)
	}
	if err := c.drawer.spool.append(kept...); err != nil {
		return err
	}
	c.planFlushLocked()
	return nil
}

// check refuses what no server would take, so that one event cannot hold up the others.
// Without a license the meters are unknown, and a document that only says how the license
// ended can leave them out.
func (u Usage) check(held *license.License) error {
	if u.Meter == "" || len(u.Meter) > maxID || len(u.ID) > maxID {
		return fmt.Errorf("the meter %q or the id is missing or longer than %d bytes", u.Meter, maxID)
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
		return fmt.Errorf("the time %v does not lie between 1970 and 9999", u.At)
	}
	digits, points := 0, 0
	for i, r := range u.Quantity {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '.':
			points++
		case r == '-' && i == 0:
			return fmt.Errorf("quantity %q is below zero: what was used stays used", u.Quantity)
		default:
			return fmt.Errorf("quantity %q is not a decimal number", u.Quantity)
		}
	}
	if digits == 0 || digits > 18 || points > 1 {
		return fmt.Errorf("quantity %q is not a decimal number of at most 18 digits", u.Quantity)
	}
	if whole, _, _ := strings.Cut(u.Quantity, "."); len(whole) > 15 {
		if n, err := strconv.ParseInt(whole, 10, 64); err != nil || n > license.MaxInt {
			return fmt.Errorf("quantity %q is over %d", u.Quantity, int64(license.MaxInt))
		}
	}
	return nil
}

// planFlush has what waits sent within a minute, or at once when it is a full batch.
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
// decision, such as of a quota that is spent, or ErrUsage if the event can't be counted.
type UsageRefusal struct {
	Usage Usage
	Err   error
}

// sendUsage sends all that waits, oldest first, with the key that it belongs to. While
// nobody knows whose license another key is of, nothing is sent.
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
			return classify(ErrUnavailable, errors.New("sending usage, which is kept: no server has said yet what license the key is of"))
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
			c.planFlush() // for what was recorded meanwhile
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
			return fmt.Errorf("sending usage, which is kept: %w", err)
		}
	}
}

// usageFloor is how long to wait after a failure: as for the license.
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
				return errors.New("the answer does not say what became of the events")
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

// covered refuses a denial that the signed reply, which says the first one, does not know.
func (a usageAnswer) covered(signed *license.Reply) error {
	for _, r := range a.Results {
		if r.Decision.Outcome == license.Denied && signed.Decision.Outcome != license.Denied {
			return errors.New("the denial of event " + r.ID + " is not signed")
		}
	}
	return nil
}

// counted notes what became of an event.
func (c *Client) counted(u Usage, r usageResult) {
	switch r.Status {
	case "recorded", "duplicate":
	default:
		err := classify(ErrUsage, errors.New("copyhold: the server refuses the event: "+r.Reason))
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

// Quota returns the last decision on a meter that a server has signed. Without one, and once
// the period of a quota that was spent is over, its outcome is unavailable. It asks nobody.
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
		Reason: "no usage of the meter " + meter + " was counted yet in this period", Rule: "meter.quota",
	}
}
