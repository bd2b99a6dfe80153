package documents

import (
	"cmp"
	"context"
	"encoding/hex"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A repeats counts, in memory, the denials of validations after the first one of each minute, until
// they are stored. A fleet whose license was revoked keeps validating, and each answer would
// otherwise need a commit. repeats is safe for concurrent use.
type repeats struct {
	mu     sync.Mutex
	counts map[repeatKey]*store.Denial // Times counts only what is not stored
	warned map[string]time.Time        // by window: holders whose changed fingerprint is recorded
}

type repeatKey struct {
	license store.LicenseRef
	holder  string
	code    string
	minute  int64
}

// maxWarned limits how many changed fingerprints are cached. The database has all of them.
const maxWarned = 10_000

func keyOfRepeat(d store.Denial) repeatKey {
	return repeatKey{store.LicenseRef{Env: d.Env, ID: d.License}, d.Holder, d.Code, d.Minute.Unix()}
}

// again reports whether d was already stored in this minute. If so, it counts d.
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

// forget makes the next denial like d be stored.
func (r *repeats) forget(d store.Denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.counts, keyOfRepeat(d))
}

// take returns the counts since the last call, and forgets minutes that have ended.
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

// noteValidation records the first denial for a holder and reason in a session, and a changed
// fingerprint once per grace. It returns the leaf hash of the log entry, or "" if there is none. If
// recording fails, the validation is answered anyway.
func (docs *Documents) noteValidation(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, b bound, d license.Decision, now time.Time) string {
	var entry string
	var err error
	switch {
	case d.Outcome == license.Denied:
		entry, err = docs.noteDenied(ctx, p, f, r, d, now)
	case b.mismatch:
		entry, err = docs.noteMismatch(ctx, p, f, r, b, d, now)
	}
	if err != nil && ctx.Err() == nil && docs.ledger.Log != nil {
		docs.ledger.Log.Error("a validation could not be recorded", "license", p.License, "code", d.Code, "error", err)
	}
	return entry
}

// validationDenial returns the denial of a whole license, as opposed to one of its pools.
func validationDenial(ctx context.Context, p access.Principal, r ValidateRequest, d license.Decision, now, minute time.Time) store.Denial {
	return store.Denial{
		PoolKey: store.PoolKey{Env: p.Env, License: p.License}, Holder: r.Holder, Code: d.Code, Minute: minute,
		Request: r.Nonce, Call: cmp.Or(d.RequestID, request.CallIn(ctx)), At: now, Times: 1, Decision: d, Caller: r.Caller,
	}
}

func (docs *Documents) noteDenied(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, d license.Decision, now time.Time) (string, error) {
	denial := validationDenial(ctx, p, r, d, now, now.Truncate(time.Minute))
	if !docs.Denials.TellApart(store.LicenseRef{Env: p.Env, ID: p.License}, denial.Minute, " "+r.Holder+" "+d.Code) {
		denial.Holder = ""
	}
	if docs.repeats.again(denial) {
		return "", nil
	}
	entry, err := docs.recordDenial(ctx, p, f, denial, licensing.DenialFirst, "", entry.Denial{Holder: denial.Holder, Code: d.Code, Rule: d.Rule, Held: 0, Capacity: 0, Exceptions: d.Exceptions, Caller: r.Caller})
	if err != nil {
		docs.repeats.forget(denial)
	}
	return entry, err
}

func (docs *Documents) noteMismatch(ctx context.Context, p access.Principal, f *inForce, r ValidateRequest, b bound, d license.Decision, now time.Time) (string, error) {
	window := now.Truncate(bindingGrace)
	if !docs.repeats.warn(string(p.License)+" "+string(b.lease)+" "+r.Holder, window) {
		return "", nil
	}
	return docs.recordDenial(ctx, p, f, validationDenial(ctx, p, r, d, now, window), licensing.ViolationBinding, string(b.lease),
		entry.End{Holder: r.Holder, By: r.Nonce, Caller: r.Caller})
}

// recordDenial stores d and an event of the given type, unless another server or an earlier process
// has done so. It records a first denial once per session, and any other event once per d's key.
func (docs *Documents) recordDenial(ctx context.Context, p access.Principal, f *inForce, d store.Denial, kind, subject string, data any) (string, error) {
	var entry string
	err := docs.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		entry = ""
		if kind != licensing.DenialFirst {
			known, err := tx.DenialKnown(ctx, d)
			if err != nil || known {
				return err
			}
		}
		d.Logged = true
		if kind == licensing.DenialFirst {
			first, err := tx.PutSessions(ctx, []store.Denial{d})
			if err != nil {
				return err
			}
			d.Logged = first[0]
		}
		fresh, err := tx.PutDenials(ctx, []store.Denial{d})
		if err != nil || !d.Logged || kind != licensing.DenialFirst && !fresh[0] {
			return err
		}
		e, err := licensing.NewEvent(kind, p.Env, tx.Now(), p.Actor, data)
		if err != nil {
			return err
		}
		e.License, e.Product, e.Customer, e.Subject, e.Request = p.License, f.terms.Product, f.terms.Customer, subject, d.Request
		e.Call = d.Call
		hash, err := tx.Record(e)
		entry = hex.EncodeToString(hash[:])
		return err
	})
	if err != nil {
		return "", err
	}
	return entry, nil
}

// StoreRepeats stores the counts that are in memory.
func (docs *Documents) StoreRepeats(ctx context.Context) error {
	list := docs.repeats.take(docs.ledger.DB.Latest().Truncate(time.Minute))
	for len(list) > 0 {
		page := list[:min(len(list), ForgetPage)]
		list = list[len(page):]
		err := docs.ledger.DB.Update(ctx, func(tx *store.Tx) error {
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
