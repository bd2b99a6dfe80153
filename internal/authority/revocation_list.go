package authority

import (
	"context"
	"slices"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

const (
	// revocationsLife is how long a list says of itself that it is the latest.
	revocationsLife = 7 * 24 * time.Hour
	// revocationsRefresh is when a list is signed again though nothing changed.
	revocationsRefresh = 24 * time.Hour
	// maxRevoked keeps a list within the size of a document. What no longer fits
	// is the oldest; the documents of those licenses say it themselves.
	maxRevoked = 400
)

// A RevocationList is the signed list of an environment's revocations. Number
// rises with each revocation.
type RevocationList struct {
	Number  int64
	Compact string // compact JWS
}

// revocationLists remembers the list of each environment. Safe for concurrent use.
type revocationLists struct {
	mu    sync.RWMutex
	byEnv map[licensing.Env]heldRevocations
}

func newRevocationLists() *revocationLists {
	return &revocationLists{byEnv: map[licensing.Env]heldRevocations{}}
}

type heldRevocations struct {
	list   RevocationList
	until  time.Time // when to ask for its number again
	resign time.Time
	keySet int64
}

// Revocations returns the environment's list of revocations.
func (a *Authority) Revocations(ctx context.Context, env licensing.Env) (RevocationList, error) {
	now := a.db.Latest()
	a.revocations.mu.RLock()
	held, known := a.revocations.byEnv[env]
	a.revocations.mu.RUnlock()
	if known && now.Before(held.until) {
		return held.list, nil
	}
	keySet := a.ring.KeySetNumber(env)
	var number int64
	var revoked []store.Revocation
	err := a.view(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now()
		if number, err = tx.RevocationNumber(ctx, env); err != nil {
			return err
		}
		if known && number == held.list.Number && now.Before(held.resign) && keySet == held.keySet {
			return nil
		}
		revoked, err = tx.Revocations(ctx, env, now)
		known = false
		return err
	})
	if err != nil {
		return RevocationList{}, err
	}
	if !known {
		if held, err = a.signRevocations(env, number, revoked, now); err != nil {
			return RevocationList{}, err
		}
		held.keySet = keySet
	}
	held.until = now.Add(believedFor)
	a.revocations.mu.Lock()
	defer a.revocations.mu.Unlock()
	if a.revocations.byEnv[env].list.Number <= held.list.Number {
		a.revocations.byEnv[env] = held
	}
	return held.list, nil
}

func (a *Authority) signRevocations(env licensing.Env, number int64, revoked []store.Revocation, now time.Time) (heldRevocations, error) {
	if len(revoked) > maxRevoked {
		a.log.Warn("the list of revocations is full; the oldest are told by their own documents only",
			"environment", env, "revocations", len(revoked))
		revoked = slices.Clone(revoked[len(revoked)-maxRevoked:])
	}
	life := now.Add(revocationsLife)
	if last := a.ring.TrustUntil(env, now); !last.IsZero() && last.Before(life) {
		life = last
	}
	doc := license.Revocations{
		Claims: license.Claims{
			Issuer: a.ring.Issuer(env), IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: life.Unix(),
			ID: documentID(now), Version: license.Version, Seq: license.Seq{Epoch: a.ring.Epoch(env), Counter: number},
		},
		Revoked: make([]license.Revocation, 0, len(revoked)),
	}
	for _, r := range revoked {
		doc.Revoked = append(doc.Revoked, license.Revocation{Subject: r.Subject, At: r.At.Unix(), Reason: r.Reason, Fallback: r.Fallback})
	}
	compact, err := a.ring.Sign(env, license.TypeRevocations, doc, now)
	return heldRevocations{list: RevocationList{number, compact}, resign: now.Add(revocationsRefresh)}, err
}

// forget makes the next request for the environment's list look it up.
func (l *revocationLists) forget(env licensing.Env) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.byEnv[env]
	held.until = time.Time{}
	l.byEnv[env] = held
}
