package credentials

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unsafe"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	// authTTL limits how long another node accepts a token or key that was ended on this node. On
	// this node it ends immediately.
	authTTL = 5 * time.Second
	// identityShare is the percentage of the cache budget for identities.
	identityShare = 15
	// maxUnknown limits how many invalid secrets are cached.
	maxUnknown = 20_000
	// tokenUseEvery is the precision of the stored time of a token's last use.
	tokenUseEvery = 5 * time.Minute
)

// Authenticate identifies the sender of authorization, the value of an Authorization header
// ("Bearer TOKEN" or "License KEY"). env is the environment that the request named, or empty.
// Recently proven callers are answered from memory. Before any other secret is looked up,
// Authenticate calls before and returns its error, if any. The error is Unauthenticated, without
// details, if the caller is unknown; Forbidden if the caller has no access to env; Invalid if env
// does not exist.
func (c *Credentials) Authenticate(ctx context.Context, authorization string, env licensing.Env, before func() error) (access.Principal, error) {
	scheme, secret, _ := strings.Cut(authorization, " ")
	secret = strings.TrimSpace(secret)
	var p access.Principal
	var err error
	switch {
	case secret == "":
		err = licensing.Errorf(licensing.Unauthenticated, "the Authorization header is missing or malformed: send License KEY or Bearer TOKEN")
	case strings.EqualFold(scheme, "License"):
		p, err = c.authenticateKey(ctx, secret, env, before)
	case strings.EqualFold(scheme, "Bearer"):
		if p, err = c.authenticateToken(ctx, secret, before); err == nil {
			p, err = p.In(env)
		}
	default:
		err = licensing.Errorf(licensing.Unauthenticated, "the Authorization scheme must be License or Bearer")
	}
	if err != nil {
		return access.Principal{}, err
	}
	err = c.ledger.RequireEnvironment(ctx, p.Env)
	if licensing.CodeOf(err) == licensing.Invalid && p.Spans {
		err = licensing.Errorf(licensing.Invalid, "%w; existing environments: %s", err, names(c.ledger.Ring.Envs())).At("Copyhold-Environment")
	}
	return p, err
}

func names(envs []licensing.Env) string {
	list := make([]string, len(envs))
	for i, env := range envs {
		list[i] = string(env)
	}
	return strings.Join(list, ", ")
}

func (c *Credentials) authenticateToken(ctx context.Context, text string, before func() error) (access.Principal, error) {
	env, id, err := access.ParseToken(text)
	if err != nil {
		return access.Principal{}, err
	}
	p, err := c.auth.once(ctx, proof{kind: access.KindToken, digest: access.Hash(text)}, c.ledger.Now(), c.ledger.DB.Latest, before, func(ctx context.Context) (identity, error) {
		return c.loadToken(ctx, env, id, text)
	})
	if err == nil {
		c.auth.use(env, id, c.ledger.DB.Latest())
	}
	return p, err
}

func (c *Credentials) loadToken(ctx context.Context, env licensing.Env, id licensing.TokenID, text string) (identity, error) {
	var row store.Token
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) (err error) {
		var ok bool
		row, ok, err = tx.Token(ctx, env, id)
		if err != nil || !ok {
			return err
		}
		stored, err := access.ParseDigest(row.Digest)
		if err == nil && !stored.Equal(access.Hash(text)) {
			row = store.Token{}
		}
		return err
	})
	if err != nil || row.ID == "" {
		return identity{}, err
	}
	p := access.Principal{
		Kind: access.KindToken, Env: row.Env, Role: access.Role(row.Role), Token: row.ID,
		Customer: row.Customer, Product: row.Product, Actor: ledger.TokenActor + string(row.ID),
		Answers: access.Hash("copyhold answers " + text),
	}
	if row.Env == access.AllEnvironments {
		p.Env, p.Spans = "", access.MaySpan(p.Role, p.Product, p.Customer)
	}
	return identity{principal: p, owner: string(row.ID), ends: row.ExpiresAt}, nil
}

// authenticateKey returns the identity that a license key proves. For a valid key only, it looks up
// whether an environment that this server does not know yet exists.
func (c *Credentials) authenticateKey(ctx context.Context, text string, env licensing.Env, before func() error) (access.Principal, error) {
	digest, err := access.KeyDigest(text)
	if err != nil {
		return access.Principal{}, err
	}
	if env != "" && !c.ledger.Ring.Has(env) {
		if p, err := c.provenKey(ctx, digest, "", before); err != nil {
			return p, err
		}
		if err := c.ledger.RequireEnvironment(ctx, env); err != nil {
			return access.Principal{}, err
		}
	}
	return c.provenKey(ctx, digest, env, before)
}

func (c *Credentials) provenKey(ctx context.Context, digest access.Digest, env licensing.Env, before func() error) (access.Principal, error) {
	return c.auth.once(ctx, proof{kind: access.KindLicense, digest: digest, env: env}, c.ledger.Now(), c.ledger.DB.Latest, before, func(ctx context.Context) (identity, error) {
		return c.loadKey(ctx, digest, env)
	})
}

// loadKey finds the license of a key. If no environment is named, production comes first, so a key
// that was imported to staging for a rehearsal cannot shadow it.
func (c *Credentials) loadKey(ctx context.Context, digest access.Digest, env licensing.Env) (identity, error) {
	var found identity
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		found = identity{}
		keys, err := tx.KeysByDigest(ctx, digest.String())
		if err != nil {
			return err
		}
		key, ok := chooseKey(keys, env)
		if !ok {
			return nil
		}
		l, ok, err := tx.License(ctx, key.Env, key.License)
		if err != nil || !ok {
			return err
		}
		found = identity{
			principal: access.Principal{
				Kind: access.KindLicense, Env: key.Env, License: l.ID, Key: key.ID,
				Customer: l.Customer, Product: l.Product, Actor: ledger.LicenseActor + string(l.ID),
			},
			owner: string(l.ID),
			ends:  key.ExpiresAt,
		}
		return nil
	})
	return found, err
}

func chooseKey(keys []store.Key, env licensing.Env) (store.Key, bool) {
	if env == "" && len(keys) == 1 {
		return keys[0], true
	}
	if env == "" {
		env = licensing.Env(licensing.Production)
	}
	for _, k := range keys {
		if k.Env == env {
			return k, true
		}
	}
	return store.Key{}, false
}

// A proof is what a caller presented: the digest of a secret, its kind and, with a license key, the
// named environment. It contains no secret.
type proof struct {
	kind   access.Kind
	digest access.Digest
	env    licensing.Env
}

// An identity is the caller that a proof identifies. owner is the token or license with which it is
// forgotten. ends is its own end, or zero for never.
type identity struct {
	principal access.Principal
	owner     string
	ends      time.Time
	until     time.Time // accepted until then without another lookup
	epoch     uint64    // of the authentication when the load began
}

// size estimates the memory of an identity and its proof, in bytes.
func (id *identity) size() int {
	p := id.principal
	return int(unsafe.Sizeof(*id)+unsafe.Sizeof(proof{})) + 2*len(id.owner) + len(p.License) + len(p.Customer) + len(p.Actor) + len(p.Product) + len(p.Env)
}

// errNobody reports that a proof identifies nobody.
var errNobody = errors.New("the proof identifies nobody")

// authentication caches recent proofs. It is safe for concurrent use.
type authentication struct {
	known *cache.Cache[proof, *identity]

	mu      sync.RWMutex
	ended   map[string]uint64 // by owner: what was loaded before this epoch is not believed
	swept   time.Time         // when owners were last dropped from ended
	dropped uint64            // the epoch of that, before which nothing is believed
	unknown map[proof]time.Time
	epoch   uint64 // raised by each change; data that was loaded under an earlier epoch is not used
	used    map[tokenUse]time.Time
	unsaved map[tokenUse]time.Time
}

type tokenUse struct {
	env licensing.Env
	id  licensing.TokenID
}

func newAuthentication(budget int64) *authentication {
	return &authentication{
		known:   cache.New(budget, func(_ proof, id *identity) int { return id.size() }),
		ended:   map[string]uint64{},
		unknown: map[proof]time.Time{},
		used:    map[tokenUse]time.Time{},
		unsaved: map[tokenUse]time.Time{},
	}
}

// once returns the identity that pr proves: from memory, or else from load, which returns a zero
// identity for an unknown proof. Requests with the same proof share a load. Errors of load are not
// cached. The end of an identity is compared with latest, the database's time. How long an identity
// is cached depends on now.
func (m *authentication) once(ctx context.Context, pr proof, now time.Time, latest func() time.Time, before func() error, load func(context.Context) (identity, error)) (access.Principal, error) {
	what := "token"
	if pr.kind == access.KindLicense {
		what = "license key"
	}
	id, err := m.proven(ctx, pr, now, before, load)
	if errors.Is(err, errNobody) {
		return access.Principal{}, licensing.Errorf(licensing.Unauthenticated, "the %s is not known to this server", what)
	}
	if err != nil {
		return access.Principal{}, err
	}
	if !id.ends.IsZero() && !latest().Before(id.ends) { // a caller that has the secret may know this
		return access.Principal{}, licensing.Errorf(licensing.Unauthenticated, "the %s has ended", what)
	}
	return id.principal, nil
}

// proven returns the identity of pr, errNobody if it has none.
func (m *authentication) proven(ctx context.Context, pr proof, now time.Time, before func() error, load func(context.Context) (identity, error)) (*identity, error) {
	fresh := func(id *identity) bool { return now.Before(id.until) && m.believes(id) }
	id, known := m.known.Get(pr)
	if known && fresh(id) {
		return id, nil
	}
	if m.isUnknown(pr, now) {
		return nil, errNobody
	}
	if !known || m.hasEnded(id) {
		if err := before(); err != nil {
			return nil, err
		}
	}
	for {
		id, err := m.known.Load(ctx, pr, fresh, func(ctx context.Context, _ *identity) (*identity, error) { return m.load(ctx, pr, now, load) })
		if err != nil || m.believes(id) { // else its owner changed during the load
			return id, err
		}
	}
}

// load asks whom pr belongs to, and remembers if it belongs to nobody.
func (m *authentication) load(ctx context.Context, pr proof, now time.Time, load func(context.Context) (identity, error)) (*identity, error) {
	m.mu.RLock()
	epoch := m.epoch
	m.mu.RUnlock()
	id, err := load(ctx)
	if err != nil {
		return nil, err
	}
	id.until, id.epoch = now.Add(authTTL), epoch
	if id.owner == "" {
		m.noteUnknown(pr, id)
		m.known.Forget(pr) // not under the lock, which the cache's callers may take
		return nil, errNobody
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unknown, pr)
	return &id, nil
}

// noteUnknown remembers that a proof belongs to nobody, unless something has changed since its load
// began.
func (m *authentication) noteUnknown(pr proof, id identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch == id.epoch {
		evict(m.unknown, maxUnknown)
		m.unknown[pr] = id.until
	}
}

// hasEnded reports whether the owner of id is listed as ended since id was loaded.
func (m *authentication) hasEnded(id *identity) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return id.epoch < m.ended[id.owner]
}

// believes reports whether id was loaded after the last change of its owner.
func (m *authentication) believes(id *identity) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return id.epoch >= m.dropped && id.epoch >= m.ended[id.owner]
}

func (m *authentication) isUnknown(pr proof, now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	until, unknown := m.unknown[pr]
	return unknown && now.Before(until)
}

// evict makes room for one more entry in a map with the given limit. It removes an arbitrary entry.
func evict(all map[proof]time.Time, limit int) {
	for pr := range all {
		if len(all) < limit {
			return
		}
		delete(all, pr)
	}
}

// forget ends the trust in the proofs of owner, a token or a license id, so that its next request
// is looked up again.
func (m *authentication) forget(owner string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	m.ended[owner] = m.epoch
	if now.Sub(m.swept).Abs() >= authTTL { // what was loaded before then has to be looked up again anyway
		clear(m.ended)
		m.swept, m.dropped = now, m.epoch
	}
}

// expect removes a license key from the unknown ones, because a new license now has it.
func (m *authentication) expect(env licensing.Env, digest access.Digest) {
	m.mu.Lock()
	m.epoch++
	unnamed, named := proof{kind: access.KindLicense, digest: digest}, proof{kind: access.KindLicense, digest: digest, env: env}
	delete(m.unknown, unnamed)
	delete(m.unknown, named)
	m.mu.Unlock()
	m.known.Forget(unnamed) // a load that began before may not have seen it
	m.known.Forget(named)
}

// keysCommitted forgets the owners of license keys whose licenses or keys have changed.
func (c *Credentials) keysCommitted(changes []ledger.Committed) {
	for _, one := range changes {
		if one.Notice&ledger.KeysChanged != 0 {
			c.auth.forget(string(one.License), c.ledger.Now())
		}
		if one.Key != (access.Digest{}) {
			c.auth.expect(one.Env, one.Key)
		}
	}
}

// use records that a token was used, at most once per tokenUseEvery.
func (m *authentication) use(env licensing.Env, id licensing.TokenID, now time.Time) {
	key, at := tokenUse{env, id}, now.Truncate(tokenUseEvery)
	m.mu.RLock()
	noted := m.used[key].Equal(at)
	m.mu.RUnlock()
	if noted {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used[key], m.unsaved[key] = at, at
}

// takeUses returns the uses recorded since the last call.
func (m *authentication) takeUses() map[tokenUse]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.unsaved
	m.unsaved = map[tokenUse]time.Time{}
	return taken
}

// SaveTokenUses stores when tokens were last used. If this fails, the token's next use is recorded
// instead.
func (c *Credentials) SaveTokenUses(ctx context.Context) error {
	uses := c.auth.takeUses()
	if len(uses) == 0 {
		return nil
	}
	return c.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		for use, at := range uses {
			if err := tx.UseToken(ctx, use.env, use.id, at); err != nil {
				return err
			}
		}
		return nil
	})
}
