package documents

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

const (
	// revocationsLife is how long a list claims to be the latest one.
	revocationsLife = 7 * 24 * time.Hour
	// revocationsRefresh is how often an unchanged list is signed again.
	revocationsRefresh = 24 * time.Hour
	// revocationsRoom is how many bytes of a document the revocations may take.
	revocationsRoom = license.MaxDocument - 2<<10
	// MaxListedReason is how many bytes of a reason appear in a list. The log has the full reason.
	MaxListedReason = 100
)

// A RevocationList is the signed list of an environment's revocations. Number rises with each
// revocation.
type RevocationList struct {
	Number  int64
	Compact string // compact JWS
}

// revocationLists caches the list of each environment. It is safe for concurrent use.
type revocationLists struct {
	mu    sync.RWMutex
	byEnv map[licensing.Env]heldRevocations
}

func newRevocationLists() *revocationLists {
	return &revocationLists{byEnv: map[licensing.Env]heldRevocations{}}
}

type heldRevocations struct {
	list   RevocationList
	until  time.Time // when to read its number again
	resign time.Time
	keySet int64
}

// Revocations returns the environment's revocation list.
func (docs *Documents) Revocations(ctx context.Context, env licensing.Env) (RevocationList, error) {
	now := docs.ledger.DB.Latest()
	docs.revocations.mu.RLock()
	held, known := docs.revocations.byEnv[env]
	docs.revocations.mu.RUnlock()
	if known && now.Before(held.until) {
		return held.list, nil
	}
	keySet := docs.ledger.Ring.KeySetNumber(env)
	var number int64
	var revoked []store.Revocation
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
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
		if held, err = docs.signRevocations(env, number, revoked, now); err != nil {
			return RevocationList{}, err
		}
		held.keySet = keySet
	}
	held.until = now.Add(BelievedFor)
	docs.revocations.mu.Lock()
	defer docs.revocations.mu.Unlock()
	if docs.revocations.byEnv[env].list.Number <= held.list.Number {
		docs.revocations.byEnv[env] = held
	}
	return held.list, nil
}

func (docs *Documents) signRevocations(env licensing.Env, number int64, revoked []store.Revocation, now time.Time) (heldRevocations, error) {
	listed := ListRevoked(revoked, revocationsRoom)
	if len(listed) < len(revoked) {
		docs.ledger.Log.Warn("the revocation list is full; the oldest revocations appear only in the documents of their licenses",
			"environment", env, "revocations", len(revoked), "listed", len(listed))
	}
	life := now.Add(revocationsLife)
	if last := docs.ledger.Ring.TrustUntil(env, now); !last.IsZero() && last.Before(life) {
		life = last
	}
	doc := license.Revocations{
		Claims: license.Claims{
			Issuer: docs.ledger.Ring.Issuer(env), IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: life.Unix(),
			ID: DocumentID(now), Version: license.Version, Seq: license.Seq{Epoch: docs.ledger.Ring.Epoch(env), Counter: number},
		},
		Revoked: listed,
	}
	compact, err := docs.ledger.Ring.Sign(env, license.TypeRevocations, doc, now)
	return heldRevocations{list: RevocationList{number, compact}, resign: now.Add(revocationsRefresh)}, err
}

// ListRevoked returns the newest revocations that fit in room bytes, oldest first. revoked must
// also be sorted oldest first. Reasons fill the remaining room, newest first.
func ListRevoked(revoked []store.Revocation, room int) []license.Revocation {
	listed := make([]license.Revocation, 0, len(revoked))
	for _, r := range slices.Backward(revoked) {
		one := license.Revocation{Subject: r.Subject, At: r.At.Unix(), Fallback: r.Fallback}
		if room -= encodedSize(one); room < 0 {
			break
		}
		listed = append(listed, one)
	}
	for i := range listed {
		one := listed[i]
		one.Reason = shortened(revoked[len(revoked)-1-i].Reason, MaxListedReason)
		if room -= encodedSize(one) - encodedSize(listed[i]); room < 0 {
			break
		}
		listed[i] = one
	}
	slices.Reverse(listed)
	return listed
}

// encodedSize returns how many bytes r takes in a list.
func encodedSize(r license.Revocation) int {
	text, _ := json.Marshal(r) // encoding this type cannot fail
	return len(text) + len(",")
}

// shortened cuts a text to at most the given number of bytes, between characters.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most -= len("…"); !utf8.RuneStart(text[most]); most-- {
	}
	return text[:most] + "…"
}

// forget makes the next request for the environment's list load it again.
func (l *revocationLists) forget(env licensing.Env) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.byEnv[env]
	held.until = time.Time{}
	l.byEnv[env] = held
}
