package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

const (
	// Turn is how long a document key signs before the next one takes over.
	Turn = 90 * day
	// prepared is how many document keys a ceremony leaves. Eight turns are two
	// years; the others allow early rotations without the root.
	prepared = 12
	// enoughTurns are two years: the number that a present root keeps prepared, and
	// that a new root set adds.
	enoughTurns = 8
	enough      = enoughTurns * Turn
	// most document keys wait at a time, because a key set is a document of limited size.
	most = 3 * prepared
	// DocumentLife limits what a document key signs: an exported license lasts to
	// the end of its term, but no longer than this after its key stopped signing.
	DocumentLife = 10 * year
	rootLife     = 20 * year // how long a root key signs
	rootTrust    = 30 * year // how long sets signed by a root key are trusted
	// early allows a clock to be set back after the first start.
	early = day

	day  = 24 * time.Hour
	year = 365 * day
)

// typeLogHead marks the log's key in the key set. No document has this type.
const typeLogHead license.Type = "copyhold-log-head"

// documentTypes returns the types that a document key may sign.
func documentTypes() []license.Type {
	return []license.Type{
		license.TypeLicense, license.TypeLease, license.TypeReply, license.TypeRevocations,
		license.TypeEdge, license.TypeOverride, license.TypeBulletin,
	}
}

func types(use licensing.KeyUse) []license.Type {
	switch use {
	case licensing.RootKey:
		return []license.Type{license.TypeKeySet, license.TypeRootSet}
	case licensing.LogKey:
		return []license.Type{typeLogHead}
	}
	return documentTypes()
}

// Material is everything that an environment's ring is made of.
type Material struct {
	Env    licensing.Env
	Issuer string // URI
	Epoch  int64  // generation of the database
	Keys   []licensing.SigningKey
	// Proposed are document keys that wait for a new root set.
	Proposed []licensing.SigningKey
	RootSet  licensing.SignedSet
	Earlier  [][]string // earlier root sets, oldest first
	KeySet   licensing.SignedSet
}

// Create makes the material of a new environment: an active root key and a cold
// spare, either of which can sign alone, the log's key, and document keys for
// more than two years, all listed in a key set that the root signs now. The
// server then switches from key to key by itself.
func Create(env licensing.Env, issuer string, epoch int64, sealing *SealingKey, now time.Time) (Material, error) {
	now = now.Truncate(time.Second).UTC()
	m := Material{Env: env, Issuer: issuer, Epoch: epoch}
	for range 2 {
		if err := m.add(licensing.RootKey, sealing, now.Add(-early), now.Add(rootLife), now.Add(rootTrust)); err != nil {
			return Material{}, err
		}
	}
	c := m.ceremony(sealing, now)
	if err := c.signRootSet(); err != nil {
		return Material{}, err
	}
	if err := c.prepare(); err != nil {
		return Material{}, err
	}
	return c.Material, c.signKeySet()
}

// Short reports whether a present root should prepare more keys.
func (m Material) Short(now time.Time) bool {
	waiting, last := 0, time.Time{}
	for _, k := range m.Keys {
		if k.Use == licensing.DocumentKey && k.MaySign(now) && k.Present() {
			waiting++
			if k.SignUntil.After(last) {
				last = k.SignUntil
			}
		}
	}
	return waiting < 3 || last.Before(now.Add(enough))
}

// Prepare adds document keys up to the number of a first ceremony and signs the
// next key set. It fails with Conflict without a root's private part.
func Prepare(m Material, sealing *SealingKey, now time.Time) (Material, error) {
	c := m.ceremony(sealing, now)
	if err := c.prepare(); err != nil {
		return Material{}, err
	}
	return c.Material, c.signKeySet()
}

// Rotate retires the document key that currently signs, so that the next one takes over
// immediately, and destroys the private part. Documents that the retired key signed stay
// valid. Prepared keys are already in the key set, so no root is needed while one
// remains. Rotate fails with Conflict if none remains and no root is present.
func Rotate(m Material, sealing *SealingKey, now time.Time) (Material, error) {
	m.Keys = slices.Clone(m.Keys)
	i, next := m.active(now)
	if next < 0 || m.Short(now) && m.RootPresent() {
		more, err := Prepare(m, sealing, now)
		if err != nil {
			return Material{}, err
		}
		m = more
	}
	if i >= 0 {
		m.Keys[i].RetiredAt, m.Keys[i].Sealed = now, ""
	}
	return m, nil
}

// Due reports whether Tend has something to do.
func (m Material) Due(now time.Time) bool {
	return m.Short(now) && m.RootPresent() || slices.ContainsFunc(m.Keys, func(k licensing.SigningKey) bool { return over(k, now) })
}

// Tend destroys the private parts of document keys whose turn is over. If a
// root is present, it prepares more keys before they run short.
func (m Material) Tend(sealing *SealingKey, now time.Time) (Material, error) {
	m.Keys = slices.Clone(m.Keys)
	for i, k := range m.Keys {
		if over(k, now) {
			m.Keys[i].RetiredAt, m.Keys[i].Sealed = k.SignUntil, ""
		}
	}
	if m.Short(now) && m.RootPresent() {
		return Prepare(m, sealing, now)
	}
	return m, nil
}

func over(k licensing.SigningKey, now time.Time) bool {
	return k.Use == licensing.DocumentKey && k.RetiredAt.IsZero() && !now.Before(k.SignUntil)
}

// Withdraw states in the next key set that documents signed by a key from cutoff on are
// not trusted, and stops using the key. The log's key is replaced. Withdraw fails with
// Conflict without a root's private part.
func Withdraw(m Material, kid string, cutoff time.Time, sealing *SealingKey, now time.Time) (Material, error) {
	c := m.ceremony(sealing, now)
	i := slices.IndexFunc(c.Keys, func(k licensing.SigningKey) bool { return k.ID == kid })
	switch {
	case i < 0:
		return Material{}, licensing.Errorf(licensing.NotFound, "signing key %s not found", kid)
	case c.Keys[i].Use == licensing.RootKey:
		return Material{}, licensing.Errorf(licensing.Invalid, "%s is a root key; replace it with a new root set instead of withdrawing it", kid)
	case !c.Keys[i].WithdrawnAt.IsZero():
		return Material{}, licensing.Errorf(licensing.Conflict, "signing key %s is already withdrawn", kid)
	case cutoff.After(now):
		return Material{}, licensing.Errorf(licensing.Invalid, "the cut-off %s is in the future", cutoff.Format(time.RFC3339))
	}
	c.Keys[i].WithdrawnAt, c.Keys[i].RetiredAt, c.Keys[i].Sealed = cutoff.Truncate(time.Second).UTC(), now, ""
	if err := c.prepare(); err != nil {
		return Material{}, err
	}
	return c.Material, c.signKeySet()
}

// active returns the index of the document key that signs at now and of the one
// after it, -1 if there is none.
func (m Material) active(now time.Time) (current, next int) {
	current, next = -1, -1
	for i, k := range m.Keys {
		if k.Use != licensing.DocumentKey || !k.MaySign(now) || !k.Present() {
			continue
		}
		switch {
		case current < 0 || k.Number < m.Keys[current].Number:
			current, next = i, current
		case next < 0 || k.Number < m.Keys[next].Number:
			next = i
		}
	}
	return current, next
}

// Active returns the id of the document key that signs at now, or "" if there is none.
func (m Material) Active(now time.Time) string {
	if i, _ := m.active(now); i >= 0 {
		return m.Keys[i].ID
	}
	return ""
}

// LogKey returns the public key that signs heads of the log.
func (m Material) LogKey() (ed25519.PublicKey, error) {
	for _, k := range m.Keys {
		if k.Use == licensing.LogKey && k.WithdrawnAt.IsZero() {
			return ed25519.PublicKey(k.Public), nil
		}
	}
	return nil, licensing.Errorf(licensing.NotFound, "environment %s has no log key", m.Env)
}

// rootSet returns the root set in force.
func (m Material) rootSet() (license.RootSet, error) {
	v, err := license.NewAuditor(m.RootSet.Documents)
	if err != nil {
		return license.RootSet{}, fmt.Errorf("the root set in force: %w", err)
	}
	return v.RootSet(), nil
}

// threshold returns how many roots must sign a set.
func (m Material) threshold() int {
	set, err := m.rootSet()
	if err != nil {
		return 1 // of the first root set, which is not signed yet
	}
	return set.K
}

// RootPresent reports whether enough roots are on this server to sign a set.
func (m Material) RootPresent() bool {
	here := 0
	for _, k := range m.Keys {
		if k.Use == licensing.RootKey && k.Present() && k.RetiredAt.IsZero() {
			here++
		}
	}
	return here > 0 && here >= m.threshold()
}

func (m *Material) add(use licensing.KeyUse, sealing *SealingKey, from, until, trust time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("making a %s key: %w", use, err)
	}
	sealed, err := sealing.Seal(private.Seed())
	if err != nil {
		return err
	}
	number := int64(1)
	for _, k := range m.Keys {
		if k.Use == use {
			number = max(number, k.Number+1)
		}
	}
	m.Keys = append(m.Keys, licensing.SigningKey{
		Env: m.Env, ID: license.Thumbprint(public), Use: use, Number: number, Public: public, Sealed: sealed,
		SignFrom: from, SignUntil: until, TrustUntil: trust,
	})
	return nil
}

// A ceremony is the work of a root at one time.
type ceremony struct {
	Material
	sealing *SealingKey
	now     time.Time
}

func (m Material) ceremony(sealing *SealingKey, now time.Time) *ceremony {
	m.Keys = slices.Clone(m.Keys)
	return &ceremony{m, sealing, now.Truncate(time.Second).UTC()}
}

// prepare adds missing document keys and the log's key. All may sign from now on, so
// that a rotation can be early. Each stops at the end of its own turn, so that a
// stolen old key is useless.
func (c *ceremony) prepare() error {
	if !c.RootPresent() {
		return licensing.Errorf(licensing.Conflict, "the private part of %s is needed but is not on this server; import it first", licensing.Counted(c.threshold(), "root"))
	}
	if err := c.addTurns(0); err != nil {
		return err
	}
	if slices.ContainsFunc(c.Keys, func(k licensing.SigningKey) bool {
		return k.Use == licensing.LogKey && k.MaySign(c.now) && k.Present()
	}) {
		return nil
	}
	return c.add(licensing.LogKey, c.sealing, c.now.Add(-early), c.now.Add(rootLife), c.now.Add(rootTrust))
}

// addTurns adds the missing document keys, but at least atLeast of them, while there
// is room.
func (c *ceremony) addTurns(atLeast int) error {
	waiting, until := 0, c.now
	for _, k := range c.Keys {
		if k.Use != licensing.DocumentKey || !k.MaySign(c.now) || !k.Present() {
			continue
		}
		waiting++
		if k.SignUntil.After(until) {
			until = k.SignUntil
		}
	}
	for n := min(max(prepared-waiting, atLeast), most-waiting); n > 0; n-- {
		until = until.Add(Turn)
		if err := c.add(licensing.DocumentKey, c.sealing, c.now.Add(-early), until, until.Add(DocumentLife)); err != nil {
			return err
		}
	}
	return nil
}

// signKeySet signs the next key set.
func (c *ceremony) signKeySet() error {
	set := c.keySet()
	var err error
	c.KeySet, err = c.sign(license.TypeKeySet, set, licensing.KeySet, set.Number, set.Expires)
	return err
}

// keySet returns the next key set: every key that a document may still name.
func (c *ceremony) keySet() license.KeySet {
	set := license.KeySet{Claims: c.claims("keyset"), Number: c.KeySet.Number + 1, Root: c.RootSet.Number}
	for _, k := range c.Keys {
		if k.Use == licensing.RootKey || k.TrustUntil.Before(c.now) {
			continue
		}
		set.Keys = append(set.Keys, entry(k))
		if k.Use == licensing.DocumentKey && k.RetiredAt.IsZero() && k.SignUntil.Unix() > set.Expires {
			set.Expires = k.SignUntil.Unix()
		}
	}
	set.ID, set.Seq.Counter = fmt.Sprintf("keyset-%d", set.Number), set.Number
	return set
}

func (c *ceremony) signRootSet() error {
	set := license.RootSet{Claims: c.claims("rootset"), Number: c.RootSet.Number + 1, K: 1}
	for _, k := range c.Keys {
		if k.Use == licensing.RootKey {
			set.Keys = append(set.Keys, entry(k))
		}
	}
	set.Expires = c.now.Add(rootTrust).Unix()
	set.ID, set.Seq.Counter = fmt.Sprintf("rootset-%d", set.Number), set.Number
	var err error
	c.RootSet, err = c.sign(license.TypeRootSet, set, licensing.RootSet, set.Number, set.Expires)
	return err
}

func (c *ceremony) claims(subject string) license.Claims {
	return license.Claims{
		Issuer: c.Issuer, Subject: subject, IssuedAt: c.now.Unix(), NotBefore: c.now.Unix(),
		Version: license.Version, Seq: license.Seq{Epoch: c.Epoch},
	}
}

// sign signs a set with the required number of roots.
func (c *ceremony) sign(t license.Type, claims any, kind licensing.SetKind, number, expires int64) (licensing.SignedSet, error) {
	var documents []string
	need := c.threshold()
	for _, k := range c.Keys {
		if k.Use != licensing.RootKey || !k.Present() || !k.MaySign(c.now) || len(documents) == need {
			continue
		}
		private, err := open(k, c.sealing)
		if err != nil {
			return licensing.SignedSet{}, err
		}
		compact, err := license.Sign(t, claims, k.ID, func(b []byte) []byte { return ed25519.Sign(private, b) })
		if err != nil {
			return licensing.SignedSet{}, fmt.Errorf("signing the %s: %w", kind, err)
		}
		documents = append(documents, compact)
	}
	if len(documents) < need {
		return licensing.SignedSet{}, licensing.Errorf(licensing.Conflict, "only %d of the %d roots needed to sign a %s can sign now", len(documents), need, kind)
	}
	return signedSet(c.Env, kind, number, expires, documents), nil
}

func signedSet(env licensing.Env, kind licensing.SetKind, number, expires int64, documents []string) licensing.SignedSet {
	return licensing.SignedSet{Env: env, Kind: kind, Number: number, ExpiresAt: time.Unix(expires, 0).UTC(), Documents: documents}
}

// entry returns a key in the form that sets contain.
func entry(k licensing.SigningKey) license.Key {
	e := license.NewKey(k.Public, types(k.Use), k.SignFrom.Unix(), k.SignUntil.Unix(), k.TrustUntil.Unix())
	if !k.WithdrawnAt.IsZero() {
		e.Withdrawn = k.WithdrawnAt.Unix()
	}
	return e
}

// open returns a key's private part. It refuses one that belongs to another key, because
// sealed texts could have been exchanged where they are stored.
func open(k licensing.SigningKey, sealing *SealingKey) (ed25519.PrivateKey, error) {
	seed, err := sealing.Open(k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("signing key %s: the private part has %d bytes", k.ID, len(seed))
	}
	private := ed25519.NewKeyFromSeed(seed)
	if license.Thumbprint(private.Public().(ed25519.PublicKey)) != k.ID {
		return nil, fmt.Errorf("signing key %s: the private part belongs to another key", k.ID)
	}
	return private, nil
}
