package granting

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// Compiled are the terms of one version of a license. They never change.
type Compiled struct {
	licensing.Terms
	seq license.Seq
}

// termsShare is the percentage of the cache budget for compiled terms.
const termsShare = 15

// A termsCache caches compiled terms by license. A result is valid only for the requested version,
// which the transaction reads.
type termsCache struct {
	*cache.Cache[store.LicenseRef, *Compiled]
}

func newTermsCache(budget int64) termsCache {
	return termsCache{cache.New(budget, func(_ store.LicenseRef, t *Compiled) int { return t.Size() })}
}

func (c termsCache) get(k store.LicenseRef, seq license.Seq, now time.Time) *Compiled {
	if t := c.last(k, now); t != nil && t.seq == seq {
		return t
	}
	return nil
}

// last returns the terms of the last version seen, which may no longer be in force.
func (c termsCache) last(k store.LicenseRef, now time.Time) *Compiled {
	if t, known := c.Get(k); known && (t.Until.IsZero() || now.Before(t.Until)) {
		return t
	}
	return nil
}

// Terms returns the terms in force of the licenses, as seen by tx. A license that does not exist is
// not in the result.
func (g *Granting) Terms(ctx context.Context, tx *store.Tx, keys []store.LicenseRef) (map[store.LicenseRef]*Compiled, error) {
	seqs, err := tx.LicenseSeqs(ctx, keys)
	if err != nil {
		return nil, err
	}
	return g.termsOf(ctx, tx, keys, seqs)
}

// termsOf returns the terms of the license versions that tx has read.
func (g *Granting) termsOf(ctx context.Context, tx *store.Tx, keys []store.LicenseRef, seqs map[store.LicenseRef]license.Seq) (map[store.LicenseRef]*Compiled, error) {
	all := make(map[store.LicenseRef]*Compiled, len(keys))
	for _, k := range keys {
		seq, exists := seqs[k]
		if !exists {
			continue
		}
		t := g.cache.get(k, seq, tx.Now())
		if t == nil {
			var err error
			if t, err = g.compile(ctx, tx, k, seq); err != nil {
				return nil, err
			}
			g.cache.Put(k, t)
		}
		all[k] = t
	}
	return all, nil
}

// compile reads a license and its plan's revision.
func (g *Granting) compile(ctx context.Context, tx *store.Tx, k store.LicenseRef, seq license.Seq) (*Compiled, error) {
	l, ok, err := tx.License(ctx, k.Env, k.ID)
	if err == nil && !ok {
		err = request.NotFound("license", k.ID)
	}
	if err != nil {
		return nil, err
	}
	rev, err := catalog.RevisionOf(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	terms, err := licensing.Compile(rev, l, tx.Now())
	return &Compiled{Terms: terms, seq: seq}, err
}
