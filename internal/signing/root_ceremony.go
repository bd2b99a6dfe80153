package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

const (
	ceremonyKind = "root-ceremony"
	maxRoots     = 16 // maximum number of signatures of a set
)

// A RootChoice describes the next root set.
type RootChoice struct {
	Keep      []string `json:"keep,omitempty"`      // root keys that stay
	Roots     int      `json:"roots,omitempty"`     // number of root keys to make; 0 keeps the total the same
	Threshold int      `json:"threshold,omitempty"` // how many must sign; 0 keeps the present number
}

// A RootCeremony is a root set on its way from the server to the people who hold root
// keys, and back. It contains no secrets. What is signed depends only on its first
// members, so people can sign on machines that never communicate.
type RootCeremony struct {
	Kind    string        `json:"copyhold"`          // root-ceremony
	From    []string      `json:"from"`              // the root set in force, compact JWS
	Keep    []string      `json:"keep,omitempty"`    // its root keys that stay
	K       int           `json:"k"`                 // how many of the next root keys must sign
	Roots   int           `json:"roots"`             // how many root keys to make
	New     []license.Key `json:"new,omitempty"`     // the root keys made so far
	Keys    string        `json:"keys"`              // payload of the key set to sign
	RootSet []string      `json:"rootset,omitempty"` // signatures of the next root set so far, compact JWS
	KeySet  []string      `json:"keyset,omitempty"`  // signatures of the key set so far
}

// Propose starts a ceremony. It makes two years of signing keys, which the key
// set of the ceremony lists and which do not sign before it is installed.
// Earlier proposals are dropped. Propose needs no root.
func Propose(m Material, want RootChoice, sealing *SealingKey, now time.Time) (Material, RootCeremony, error) {
	c := m.ceremony(sealing, now)
	from, err := m.rootSet()
	if err != nil {
		return Material{}, RootCeremony{}, err
	}
	if want, err = want.check(from); err != nil {
		return Material{}, RootCeremony{}, err
	}
	before := len(c.Keys)
	if err := c.addTurns(enoughTurns); err != nil {
		return Material{}, RootCeremony{}, err
	}
	set := c.keySet()
	set.Root = from.Number + 1
	payload, err := json.Marshal(set)
	if err != nil {
		return Material{}, RootCeremony{}, fmt.Errorf("writing the key set: %w", err)
	}
	proposed := slices.Clone(c.Keys[before:])
	for i := range proposed {
		proposed[i].Use = licensing.ProposedKey
	}
	m.Proposed = proposed
	return m, RootCeremony{
		Kind: ceremonyKind, From: m.RootSet.Documents, Keep: want.Keep, K: want.Threshold, Roots: want.Roots, Keys: string(payload),
	}, nil
}

func (w RootChoice) check(from license.RootSet) (RootChoice, error) {
	for i, kid := range w.Keep {
		if !slices.ContainsFunc(from.Keys, func(k license.Key) bool { return k.Kid == kid }) || slices.Contains(w.Keep[:i], kid) {
			return w, licensing.Errorf(licensing.Invalid, "root key %s is not in the root set in force or is listed twice", kid).At("keep")
		}
	}
	if w.Roots == 0 {
		w.Roots = len(from.Keys) - len(w.Keep)
	}
	if w.Threshold == 0 {
		w.Threshold = from.K
	}
	total := len(w.Keep) + w.Roots
	switch {
	case w.Roots < 0 || total == 0 || total > maxRoots || total+len(from.Keys)-len(w.Keep) > maxRoots:
		return w, licensing.Errorf(licensing.Invalid, "a root set must have 1 to %d root keys, counting those that it replaces", maxRoots).At("roots")
	case w.Threshold < 1 || w.Threshold > total:
		return w, licensing.Errorf(licensing.Invalid, "with %d root keys, the threshold must be 1 to %d", total, total).At("threshold")
	}
	return w, nil
}

// ReadRootCeremony reads a ceremony's file. It fails with Invalid if the text is not one, or
// if it does not start from a root set.
func ReadRootCeremony(text []byte) (RootCeremony, error) {
	var c RootCeremony
	if err := json.Unmarshal(text, &c); err != nil || c.Kind != ceremonyKind {
		return c, licensing.Errorf(licensing.Invalid, "the file is not a ceremony file")
	}
	from, keys, err := c.open()
	if err != nil {
		return c, err
	}
	if from.Issuer != keys.Issuer || keys.Root != from.Number+1 {
		return c, licensing.Errorf(licensing.Invalid, "the ceremony's key set does not belong to its root set")
	}
	return c, nil
}

// open reads the root set that the ceremony starts from and the key set to sign.
func (c RootCeremony) open() (from license.RootSet, keys license.KeySet, err error) {
	v, err := license.NewAuditor(c.From)
	if err != nil {
		return from, keys, licensing.Errorf(licensing.Invalid, "reading the root set that the ceremony starts from: %w", err)
	}
	if err := license.Unmarshal([]byte(c.Keys), &keys); err != nil {
		return from, keys, licensing.Errorf(licensing.Invalid, "reading the ceremony's key set: %w", err)
	}
	return v.RootSet(), keys, nil
}

// MakeRoots makes count of the missing roots, or all if count is 0, and returns
// their private parts as a file for safekeeping, in the form of ExportRoot.
// It fails with Conflict if none is missing.
func (c RootCeremony) MakeRoots(count int) (RootCeremony, Secret, error) {
	_, keys, err := c.open()
	if err != nil {
		return c, Secret{}, err
	}
	missing := c.Roots - len(c.New)
	if count == 0 {
		count = missing
	}
	if missing <= 0 || count < 0 || count > missing {
		return c, Secret{}, licensing.Errorf(licensing.Conflict, "%d of the %d new root keys already exist", len(c.New), c.Roots)
	}
	begun := time.Unix(keys.IssuedAt, 0)
	file := rootFile{Kind: rootKind, Issuer: keys.Issuer}
	c.New = slices.Clone(c.New)
	for range count {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return c, Secret{}, fmt.Errorf("making a root: %w", err)
		}
		k := license.NewKey(public, types(licensing.RootKey), begun.Add(-early).Unix(), begun.Add(rootLife).Unix(), begun.Add(rootTrust).Unix())
		c.New = append(c.New, k)
		file.Keys = append(file.Keys, rootKey{"OKP", "Ed25519", k.Kid, private.Seed()})
	}
	text, err := file.text()
	return c, text, err
}

// Next returns the root set to sign. It fails with Conflict while one of its roots
// is missing.
func (c RootCeremony) Next() (license.RootSet, error) {
	from, keys, err := c.open()
	if err != nil {
		return license.RootSet{}, err
	}
	if len(c.New) != c.Roots {
		return license.RootSet{}, licensing.Errorf(licensing.Conflict, "only %d of the %d new root keys exist; create the others first", len(c.New), c.Roots)
	}
	number := from.Number + 1
	set := license.RootSet{Number: number, K: c.K, Claims: license.Claims{
		Issuer: from.Issuer, Subject: "rootset", ID: fmt.Sprintf("rootset-%d", number), IssuedAt: keys.IssuedAt, NotBefore: keys.IssuedAt,
		Version: license.Version, Seq: license.Seq{Epoch: keys.Seq.Epoch, Counter: number},
	}}
	for _, k := range from.Keys {
		if slices.Contains(c.Keep, k.Kid) {
			set.Keys = append(set.Keys, k)
		}
	}
	set.Keys = append(set.Keys, c.New...)
	for _, k := range append(slices.Clone(from.Keys), c.New...) { // no root key signs anything that outlives it
		if set.Expires == 0 || k.TrustUntil < set.Expires {
			set.Expires = k.TrustUntil
		}
	}
	return set, nil
}

// KeySetToSign returns the key set to sign.
func (c RootCeremony) KeySetToSign() (license.KeySet, error) {
	_, keys, err := c.open()
	return keys, err
}

// Sign signs with every root key in a file of private parts: the root set with
// keys of the previous and of the next set, the key set with keys of the next set.
// It returns the root keys that signed. It fails with Invalid if one belongs to neither set.
func (c RootCeremony) Sign(text Secret) (RootCeremony, []string, error) {
	from, keys, err := c.open()
	if err != nil {
		return c, nil, err
	}
	next, err := c.Next()
	if err != nil {
		return c, nil, err
	}
	file, err := readRootFile(text, from.Issuer)
	if err != nil {
		return c, nil, err
	}
	var by []string
	for _, r := range file.Keys {
		private := ed25519.NewKeyFromSeed(r.D)
		kid := license.Thumbprint(private.Public().(ed25519.PublicKey))
		stays := lists(next, kid)
		if !stays && !lists(from, kid) {
			return c, nil, licensing.Errorf(licensing.Invalid, "%s is not a root key of either set", kid)
		}
		if c.RootSet, err = countersign(c.RootSet, license.TypeRootSet, next, kid, private); err != nil {
			return c, nil, err
		}
		if stays {
			if c.KeySet, err = countersign(c.KeySet, license.TypeKeySet, keys, kid, private); err != nil {
				return c, nil, err
			}
		}
		by = append(by, kid)
	}
	return c, by, nil
}

func lists(set license.RootSet, kid string) bool {
	return slices.ContainsFunc(set.Keys, func(k license.Key) bool { return k.Kid == kid })
}

// countersign adds a root's signature to a set, once.
func countersign(list []string, t license.Type, claims any, kid string, private ed25519.PrivateKey) ([]string, error) {
	compact, err := license.Sign(t, claims, kid, func(b []byte) []byte { return ed25519.Sign(private, b) })
	if err != nil {
		return nil, licensing.Errorf(licensing.Invalid, "signing: %w", err)
	}
	if slices.Contains(list, compact) {
		return list, nil
	}
	if len(list) > 0 && payloadOf(list[0]) != payloadOf(compact) {
		return nil, licensing.Errorf(licensing.Invalid, "the ceremony file was changed after others signed; start the ceremony again")
	}
	return append(slices.Clip(list), compact), nil
}

func payloadOf(compact string) string {
	parts := strings.SplitN(compact, ".", 3)
	return parts[min(1, len(parts)-1)]
}

// A RootProgress is how many signatures there are, and how many are needed.
type RootProgress struct {
	Old, OldNeeded   int // of the root set, by root keys of the previous set
	New, NewNeeded   int // of the root set, by its own root keys
	Keys, KeysNeeded int // of the key set, by root keys of the next set
}

// Complete reports whether all needed signatures are present.
func (p RootProgress) Complete() bool {
	return p.Old >= p.OldNeeded && p.New >= p.NewNeeded && p.Keys >= p.KeysNeeded
}

// Progress counts signatures by the signers that they name. InstallRootSet verifies them.
func (c RootCeremony) Progress() (p RootProgress, err error) {
	from, _, err := c.open()
	if err != nil {
		return p, err
	}
	next, err := c.Next()
	if err != nil {
		return p, err
	}
	p.OldNeeded, p.NewNeeded, p.KeysNeeded = from.K, c.K, c.K
	for _, kid := range signedBy(c.RootSet) {
		if lists(from, kid) {
			p.Old++
		}
		if lists(next, kid) {
			p.New++
		}
	}
	p.Keys = len(signedBy(c.KeySet))
	return p, nil
}

func signedBy(list []string) (kids []string) {
	for _, compact := range list {
		head, _, _ := strings.Cut(compact, ".")
		var h struct {
			Kid string `json:"kid"`
		}
		text, err := base64.RawURLEncoding.DecodeString(head)
		if err == nil && json.Unmarshal(text, &h) == nil && !slices.Contains(kids, h.Kid) {
			kids = append(kids, h.Kid)
		}
	}
	return kids
}

// InstallRootSet puts the sets of a complete ceremony in force, after verifying them
// as a program would that trusts the previous root set. Roots that are
// not in the new set sign nothing from now on. It fails with Conflict if the server's sets
// are not those that the ceremony started from, and with Invalid if the sets do not verify.
func InstallRootSet(m Material, rootSet, keySet []string, now time.Time) (Material, error) {
	held, err := license.NewAuditor(m.RootSet.Documents)
	if err != nil {
		return Material{}, fmt.Errorf("reading the root set in force: %w", err)
	}
	v, err := held.WithRootSet(rootSet, now.Unix())
	switch {
	case errors.Is(err, license.ErrRollback), err == nil && v == held:
		return Material{}, licensing.Errorf(licensing.Conflict, "root set %d or a later one is already in force", m.RootSet.Number)
	case err != nil:
		return Material{}, licensing.Errorf(licensing.Invalid, "the root set does not follow from the one in force: %w", err)
	}
	if v, err = v.WithKeySet(keySet, now.Unix()); err != nil {
		return Material{}, licensing.Errorf(licensing.Invalid, "the key set is not signed by the new roots: %w", err)
	}
	roots, keys := v.RootSet(), v.KeySet()
	if roots.Number != m.RootSet.Number+1 || keys.Number != m.KeySet.Number+1 || keys.Root != roots.Number {
		return Material{}, licensing.Errorf(licensing.Conflict, "the server has signed another set since the ceremony started; start it again")
	}
	if m, err = m.accept(keys, now); err != nil {
		return Material{}, err
	}
	m.Earlier = append(slices.Clip(m.Earlier), m.RootSet.Documents)
	m.RootSet = signedSet(m.Env, licensing.RootSet, roots.Number, roots.Expires, rootSet)
	m.KeySet = signedSet(m.Env, licensing.KeySet, keys.Number, keys.Expires, keySet)
	return m.replaceRoots(roots, now), nil
}

// accept turns the proposed keys that a key set lists into regular keys. It
// refuses a set that omits a key in use or lists an unknown one.
func (m Material) accept(set license.KeySet, now time.Time) (Material, error) {
	m.Keys = slices.Clone(m.Keys)
	listed := map[string]license.Key{}
	for _, k := range set.Keys {
		listed[k.Kid] = k
	}
	for _, k := range m.Proposed {
		k.Use = licensing.DocumentKey
		m.Keys = append(m.Keys, k)
	}
	m.Proposed = nil
	for _, k := range m.Keys {
		if k.Use == licensing.RootKey || k.TrustUntil.Before(now) {
			continue
		}
		if got, ok := listed[k.ID]; !ok || !reflect.DeepEqual(got, entry(k)) {
			return Material{}, licensing.Errorf(licensing.Conflict, "the key set and the server disagree about signing key %s; start the ceremony again", k.ID)
		}
		delete(listed, k.ID)
	}
	for kid := range listed {
		return Material{}, licensing.Errorf(licensing.Invalid, "the key set lists %s, which this server did not make", kid)
	}
	return m, nil
}

// replaceRoots destroys the private parts of roots that left the set, and lists the new
// roots. The private parts of those are with the people who made them.
func (m Material) replaceRoots(set license.RootSet, now time.Time) Material {
	number := int64(0)
	for i, k := range m.Keys {
		if k.Use != licensing.RootKey {
			continue
		}
		number = max(number, k.Number)
		switch stays := lists(set, k.ID); {
		case stays:
			m.Keys[i].RetiredAt = time.Time{}
		case k.RetiredAt.IsZero():
			m.Keys[i].RetiredAt, m.Keys[i].Sealed = now, ""
		}
	}
	for _, k := range set.Keys {
		if slices.ContainsFunc(m.Keys, func(have licensing.SigningKey) bool { return have.ID == k.Kid }) {
			continue
		}
		public, err := k.Public()
		if err != nil {
			continue // the set was verified
		}
		number++
		m.Keys = append(m.Keys, licensing.SigningKey{
			Env: m.Env, ID: k.Kid, Use: licensing.RootKey, Number: number, Public: public,
			SignFrom: time.Unix(k.SignFrom, 0).UTC(), SignUntil: time.Unix(k.SignUntil, 0).UTC(), TrustUntil: time.Unix(k.TrustUntil, 0).UTC(),
			ExportedAt: now,
		})
	}
	return m
}
