package authority

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// compiled are the terms of one version of a license. They never change.
type compiled struct {
	licensing.Terms
	seq license.Seq
}

// maxCompiled bounds how many licenses' terms are kept.
const maxCompiled = 20_000

// A termsCache keeps compiled terms by license. What it returns is right only
// for the version asked for, which the transaction reads.
type termsCache struct {
	mu  sync.RWMutex
	all map[store.LicenseKey]*compiled
}

func (c *termsCache) get(k store.LicenseKey, seq license.Seq, now time.Time) *compiled {
	if t := c.last(k, now); t != nil && t.seq == seq {
		return t
	}
	return nil
}

// last returns the terms of the version last seen, which may not be in force any more.
func (c *termsCache) last(k store.LicenseKey, now time.Time) *compiled {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t := c.all[k]; t != nil && (t.Until.IsZero() || now.Before(t.Until)) {
		return t
	}
	return nil
}

func (c *termsCache) put(k store.LicenseKey, t *compiled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= maxCompiled {
		c.all = make(map[store.LicenseKey]*compiled)
	}
	c.all[k] = t
}

// terms returns the terms in force of the licenses, as they are in tx. A
// license that does not exist is absent.
func (a *Authority) terms(ctx context.Context, tx *store.Tx, keys []store.LicenseKey) (map[store.LicenseKey]*compiled, error) {
	seqs, err := tx.LicenseSeqs(ctx, keys)
	if err != nil {
		return nil, err
	}
	return a.termsOf(ctx, tx, keys, seqs)
}

// termsOf returns the terms of the licenses' versions that tx has read.
func (a *Authority) termsOf(ctx context.Context, tx *store.Tx, keys []store.LicenseKey, seqs map[store.LicenseKey]license.Seq) (map[store.LicenseKey]*compiled, error) {
	all := make(map[store.LicenseKey]*compiled, len(keys))
	for _, k := range keys {
		seq, exists := seqs[k]
		if !exists {
			continue
		}
		t := a.cache.get(k, seq, tx.Now())
		if t == nil {
			var err error
			if t, err = a.compile(ctx, tx, k, seq); err != nil {
				return nil, err
			}
			a.cache.put(k, t)
		}
		all[k] = t
	}
	return all, nil
}

// compile reads a license and its plan's revision.
func (a *Authority) compile(ctx context.Context, tx *store.Tx, k store.LicenseKey, seq license.Seq) (*compiled, error) {
	l, ok, err := tx.License(ctx, k.Env, k.ID)
	if err == nil && !ok {
		err = notFound("license", k.ID)
	}
	if err != nil {
		return nil, err
	}
	rev, err := revisionOf(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	terms, err := licensing.Compile(rev, l, tx.Now())
	return &compiled{Terms: terms, seq: seq}, err
}
