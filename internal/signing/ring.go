package signing

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A Ring contains the opened signing keys of every environment. Signing takes no
// lock. A Ring is safe for concurrent use.
type Ring struct {
	sealing  *SealingKey
	mu       sync.Mutex // held while loading
	envs     atomic.Pointer[map[licensing.Env]*keys]
	features sync.Map               // public key to private key, of features
	record   atomic.Pointer[record] // nil for none
}

// keys are one environment's keys. They never change after loading.
type keys struct {
	material Material
	document []signer // by number
	log      signer
	verifier func() (*license.Verifier, error)
}

type signer struct {
	licensing.SigningKey
	private ed25519.PrivateKey
}

func (s *signer) sign(b []byte) []byte { return ed25519.Sign(s.private, b) }

// NewRing returns a ring without environments.
func NewRing(sealing *SealingKey) *Ring {
	r := &Ring{sealing: sealing}
	r.envs.Store(&map[licensing.Env]*keys{})
	return r
}

// Sealing returns the key that seals the material of the ring.
func (r *Ring) Sealing() *SealingKey { return r.sealing }

// Load opens an environment's keys, which replace its earlier ones. Concurrent calls
// of Sign use either the old or the new keys.
func (r *Ring) Load(m Material) error {
	k := &keys{material: m}
	k.verifier = sync.OnceValues(func() (*license.Verifier, error) {
		v, err := license.NewAuditor(m.RootSet.Documents)
		if err != nil {
			return nil, err
		}
		return v.WithKeySet(m.KeySet.Documents, 0) // its own date is in it
	})
	for _, key := range m.Keys {
		if !key.Present() || !key.RetiredAt.IsZero() || key.Use == licensing.RootKey {
			continue
		}
		private, err := open(key, r.sealing)
		if err != nil {
			return err
		}
		if key.Use == licensing.LogKey {
			k.log = signer{key, private}
		} else {
			k.document = append(k.document, signer{key, private})
		}
	}
	slices.SortFunc(k.document, func(a, b signer) int { return cmp.Compare(a.Number, b.Number) })
	r.mu.Lock()
	defer r.mu.Unlock()
	next := maps.Clone(*r.envs.Load())
	next[m.Env] = k
	r.envs.Store(&next)
	return nil
}

// Material returns the material from which an environment's keys were loaded.
func (r *Ring) Material(env licensing.Env) (Material, bool) {
	k := (*r.envs.Load())[env]
	if k == nil {
		return Material{}, false
	}
	return k.material, true
}

// Envs returns the environments that have keys, sorted.
func (r *Ring) Envs() []licensing.Env { return slices.Sorted(maps.Keys(*r.envs.Load())) }

// Has reports whether an environment has keys.
func (r *Ring) Has(env licensing.Env) bool { return (*r.envs.Load())[env] != nil }

func (r *Ring) keys(env licensing.Env) (*keys, error) {
	if k := (*r.envs.Load())[env]; k != nil {
		return k, nil
	}
	return nil, licensing.Errorf(licensing.NotFound, "environment %s not found", env)
}

func (k *keys) active(now time.Time) *signer {
	for i := range k.document {
		if k.document[i].MaySign(now) {
			return &k.document[i]
		}
	}
	return nil
}

// Sign signs a document with the key whose turn it is at now, which must be the
// document's iat. It fails with Unavailable if no key may sign then.
func (r *Ring) Sign(env licensing.Env, t license.Type, claims any, now time.Time) (string, error) {
	compact, err := r.Draft(env, t, claims, now)
	if err == nil {
		err = r.Record(compact)
	}
	if err != nil {
		return "", err
	}
	return compact, nil
}

// Draft is Sign for a document that may never be issued. Call Record before
// issuing it.
func (r *Ring) Draft(env licensing.Env, t license.Type, claims any, now time.Time) (string, error) {
	k, err := r.keys(env)
	if err != nil {
		return "", err
	}
	s := k.active(now)
	if s == nil {
		return "", licensing.Errorf(licensing.Unavailable, "environment %s has no key that may sign at %s", env, now.UTC().Format(time.RFC3339))
	}
	compact, err := license.Sign(t, claims, s.ID, s.sign)
	if err != nil {
		return "", fmt.Errorf("signing a %s: %w", t, err)
	}
	return compact, nil
}

// Record writes a document that is about to be issued to the writer of RecordTo.
func (r *Ring) Record(compact string) error {
	if c := r.record.Load(); c != nil {
		if err := c.add(compact); err != nil {
			return fmt.Errorf("recording a document: %w", err)
		}
	}
	return nil
}

// TrustUntil returns the latest date that a document signed at now may contain, or
// the zero time if no key may sign then.
func (r *Ring) TrustUntil(env licensing.Env, now time.Time) time.Time {
	if k, err := r.keys(env); err == nil {
		if s := k.active(now); s != nil {
			return s.TrustUntil
		}
	}
	return time.Time{}
}

// SignsUntil returns when the last prepared key stops signing and when the key
// set ends, which limit the runway.
func (r *Ring) SignsUntil(env licensing.Env) (keys, set time.Time) {
	k, err := r.keys(env)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	for _, s := range k.document {
		if s.SignUntil.After(keys) {
			keys = s.SignUntil
		}
	}
	return keys, k.material.KeySet.ExpiresAt
}

// Active returns the id of the document key whose turn it is at now, or "" if there is none.
func (r *Ring) Active(env licensing.Env, now time.Time) string {
	if k, err := r.keys(env); err == nil {
		if s := k.active(now); s != nil {
			return s.ID
		}
	}
	return ""
}

// Issuer returns the environment's URI, or "" if it has no keys.
func (r *Ring) Issuer(env licensing.Env) string {
	if k, err := r.keys(env); err == nil {
		return k.material.Issuer
	}
	return ""
}

// Epoch returns the generation of the database that the keys were loaded from.
func (r *Ring) Epoch(env licensing.Env) int64 {
	if k, err := r.keys(env); err == nil {
		return k.material.Epoch
	}
	return 0
}

// KeySet returns the key set in force: compact JWS over one payload.
func (r *Ring) KeySet(env licensing.Env) []string {
	if k, err := r.keys(env); err == nil {
		return k.material.KeySet.Documents
	}
	return nil
}

// Verifier returns a verifier that trusts this environment's own documents: the same
// ones that programs trust under the root set and the key set in force.
func (r *Ring) Verifier(env licensing.Env) (*license.Verifier, error) {
	k, err := r.keys(env)
	if err != nil {
		return nil, err
	}
	return k.verifier()
}

// KeySetNumber returns the number of the key set in force.
func (r *Ring) KeySetNumber(env licensing.Env) int64 {
	if k, err := r.keys(env); err == nil {
		return k.material.KeySet.Number
	}
	return 0
}

// RootSet returns the root set in force: compact JWS over one payload.
func (r *Ring) RootSet(env licensing.Env) []string {
	if k, err := r.keys(env); err == nil {
		return k.material.RootSet.Documents
	}
	return nil
}

// RootSetNumbered returns a root set by its number, or nil if there is none. Each
// is signed by the roots before it, so that programs can follow.
func (r *Ring) RootSetNumbered(env licensing.Env, number int64) []string {
	k, err := r.keys(env)
	if err != nil {
		return nil
	}
	m := k.material
	first := m.RootSet.Number - int64(len(m.Earlier))
	switch {
	case number == m.RootSet.Number:
		return m.RootSet.Documents
	case number < first || number > m.RootSet.Number:
		return nil
	}
	return m.Earlier[number-first]
}

// EarlierRootSets returns the root sets between the first one, which programs
// start from, and the one in force, oldest first.
func (r *Ring) EarlierRootSets(env licensing.Env) [][]string {
	k, err := r.keys(env)
	if err != nil || len(k.material.Earlier) < 2 {
		return nil
	}
	return k.material.Earlier[1:]
}

// LogKey returns the public part of the log's key and a function that signs
// with it.
func (r *Ring) LogKey(env licensing.Env) (ed25519.PublicKey, func([]byte) []byte, error) {
	k, err := r.keys(env)
	if err != nil {
		return nil, nil, err
	}
	if k.log.private == nil {
		return nil, nil, licensing.Errorf(licensing.Unavailable, "environment %s has no log key", env)
	}
	return ed25519.PublicKey(k.log.Public), k.log.sign, nil
}

// JWKS returns the keys that documents may name as a JSON Web Key Set (RFC
// 7517), for libraries that do not know key sets. It omits withdrawn keys and
// the rules of the key set.
func (r *Ring) JWKS(env licensing.Env) []license.Key {
	k, err := r.keys(env)
	if err != nil {
		return nil
	}
	var list []license.Key
	for _, key := range k.material.Keys {
		if key.Use == licensing.DocumentKey && key.WithdrawnAt.IsZero() {
			list = append(list, entry(key))
		}
	}
	return list
}
