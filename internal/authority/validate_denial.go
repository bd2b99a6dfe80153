package authority

import (
	"cmp"
	"context"
	"encoding/hex"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A repeats counts what validations denied after the first of each minute, in
// memory until the next round of counting: a fleet whose license was revoked
// asks on, and each answer would be a commit. Safe for concurrent use.
type repeats struct {
	mu     sync.Mutex
	counts map[repeatKey]*store.Denial // Times are those that are not stored
	warned map[string]time.Time        // holders whose changed fingerprint is recorded, by window
}

type repeatKey struct {
	license store.LicenseKey
	holder  string
	code    string
	minute  int64
}

// maxWarned bounds what is remembered of changed fingerprints; the database knows them all.
const maxWarned = 10_000

func keyOfRepeat(d store.Denial) repeatKey {
	return repeatKey{store.LicenseKey{Env: d.Env, ID: d.License}, d.Holder, d.Code, d.Minute.Unix()}
}

// again reports whether d was stored in this minute, and then counts it.
func (r *repeats) again(d store.Denial) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.counts[keyOfRepeat(d)]
	if known == nil {
		if r.counts == nil {
			r.counts = map[repeatKey]*store.Denial{}
		}
		d.Times, d.Later = 0, ""
		r.counts[keyOfRepeat(d)] = &d
		return false
	}
	known.Times++
	known.Last = d.At
	known.Repeat(d.Request, d.Call)
	return true
}

// forget has the next denial like d stored.
func (r *repeats) forget(d store.Denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.counts, keyOfRepeat(d))
}

// take returns what was counted since the last time, and forgets minutes that are over.
func (r *repeats) take(minute time.Time) []store.Denial {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []store.Denial
	for k, d := range r.counts {
		if d.Times > 0 {
			list = append(list, *d)
		}
		d.Times, d.Later = 0, ""
		if k.minute < minute.Unix() {
			delete(r.counts, k)
		}
	}
	return list
}

// warn reports whether a changed fingerprint is new to this server in its window.
func (r *repeats) warn(name string, window time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warned[name].Equal(window) {
		return false
	}
	if r.warned == nil || len(r.warned) >= maxWarned {
		r.warned = map[string]time.Time{}
	}
	r.warned[name] = window
	return true
}

// noteValidation records what a validation has to leave: the first denial of a
// holder and reason in a session, and a changed fingerprint once in its grace. It
// returns the leaf hash of its entry, "" if it has none. That something cannot
// be recorded is no reason not to answer.
func (a *Authority) noteValidation(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, b bound, d license.Decision, now time.Time) string {
	var entry string
	var err error
	switch {
	case d.Outcome == license.Denied:
		entry, err = a.noteDenied(ctx, p, f, r, d, now)
	case b.mismatch:
		entry, err = a.noteMismatch(ctx, p, f, r, b, d, now)
	}
	if err != nil && ctx.Err() == nil && a.log != nil {
		a.log.Error("a validation is not recorded", "license", p.License, "code", d.Code, "error", err)
	}
	return entry
}

// validationDenial is a denial of the license itself, of no pool.
func validationDenial(ctx context.Context, p access.Principal, r ValidateRequest, d license.Decision, now, minute time.Time) store.Denial {
	return store.Denial{
		PoolKey: store.PoolKey{Env: p.Env, License: p.License}, Holder: r.Holder, Code: d.Code, Minute: minute,
		Request: r.Nonce, Call: cmp.Or(d.RequestID, callIn(ctx)), At: now, Times: 1, Decision: d, Caller: r.Caller,
	}
}

func (a *Authority) noteDenied(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, d license.Decision, now time.Time) (string, error) {
	denial := validationDenial(ctx, p, r, d, now, now.Truncate(time.Minute))
	if !a.denials.tellApart(store.LicenseKey{Env: p.Env, ID: p.License}, denial.Minute, " "+r.Holder+" "+d.Code) {
		denial.Holder = ""
	}
	if a.repeats.again(denial) {
		return "", nil
	}
	entry, err := a.recordDenial(ctx, p, f, denial, licensing.DenialFirst, "", denialEvent{denial.Holder, d.Code, d.Rule, 0, 0, d.Exceptions, r.Caller})
	if err != nil {
		a.repeats.forget(denial)
	}
	return entry, err
}

func (a *Authority) noteMismatch(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, b bound, d license.Decision, now time.Time) (string, error) {
	window := now.Truncate(bindingGrace)
	if !a.repeats.warn(string(p.License)+" "+string(b.lease)+" "+r.Holder, window) {
		return "", nil
	}
	return a.recordDenial(ctx, p, f, validationDenial(ctx, p, r, d, now, window), licensing.ViolationBinding, string(b.lease),
		endEvent{Holder: r.Holder, By: r.Nonce, Caller: r.Caller})
}

// recordDenial stores d and an event of a type about it, unless another server
// or an earlier process did: a first denial once in its session, another event once
// for d's key.
func (a *Authority) recordDenial(ctx context.Context, p access.Principal, f *inForce, d store.Denial, kind, subject string, data any) (string, error) {
	var entry string
	err := a.update(ctx, p.Env, p.Actor, func(c *change) error {
		entry = ""
		if kind != licensing.DenialFirst {
			known, err := c.DenialKnown(ctx, d)
			if err != nil || known {
				return err
			}
		}
		d.Logged = true
		if kind == licensing.DenialFirst {
			first, err := c.PutSessions(ctx, []store.Denial{d})
			if err != nil {
				return err
			}
			d.Logged = first[0]
		}
		fresh, err := c.PutDenials(ctx, []store.Denial{d})
		if err != nil || !d.Logged || kind != licensing.DenialFirst && !fresh[0] {
			return err
		}
		e, err := licensing.NewEvent(kind, p.Env, c.Now(), p.Actor, data)
		if err != nil {
			return err
		}
		e.License, e.Product, e.Customer, e.Subject, e.Request = p.License, f.terms.Product, f.terms.Customer, subject, d.Request
		e.Call = d.Call
		hash, err := c.Record(e)
		entry = hex.EncodeToString(hash[:])
		return err
	})
	if err != nil {
		return "", err
	}
	return entry, nil
}

// storeRepeats stores what was counted in memory.
func (a *Authority) storeRepeats(ctx context.Context) error {
	list := a.repeats.take(a.db.Latest().Truncate(time.Minute))
	for len(list) > 0 {
		page := list[:min(len(list), forgetPage)]
		list = list[len(page):]
		err := a.db.Update(ctx, func(tx *store.Tx) error {
			if _, err := tx.PutSessions(ctx, page); err != nil {
				return err
			}
			_, err := tx.PutDenials(ctx, page)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
