package license

import (
	"reflect"
	"slices"
)

// Epsilon is the maximum difference between the clocks of honest machines, in seconds.
const Epsilon = 60

// A Verifier contains what is trusted: a root set, the key set in force, the issuer, and the
// product. It is immutable. Its With methods return a new Verifier, which never trusts anything
// older. It is safe for concurrent use.
type Verifier struct {
	issuer  string
	product string // "" means any, in an auditor's verifier
	known   bool
	filed   bool

	root     RootSet
	rootRing keyring
	rootText string

	set     KeySet
	ring    keyring
	setText string
	setList []string
	floor   int64 // key sets with a lower number are not trusted; 0 means none
}

// NewVerifier trusts a pinned root set for one issuer and product. The root set is a list of
// compact JWS over one payload.
func NewVerifier(issuer, product string, pinned []string) (*Verifier, error) {
	if product == "" {
		return nil, fault(ErrAudience, "no product given")
	}
	v, err := NewAuditor(pinned)
	if err != nil {
		return nil, err
	}
	if v.issuer != issuer {
		return nil, fault(ErrIssuer, "the root set is of %s", v.issuer)
	}
	v.product = product
	return v, nil
}

// NewAuditor is NewVerifier for tools that inspect documents of every product, such as the
// vendor's. Programs use NewVerifier.
func NewAuditor(pinned []string) (*Verifier, error) {
	text, err := sharedPayload(pinned)
	if err != nil {
		return nil, err
	}
	payload, err := decode64(text)
	if err != nil {
		return nil, err
	}
	root, err := decodeDocument[RootSet](payload)
	if err != nil {
		return nil, err
	}
	ring, err := root.ring()
	if err != nil {
		return nil, err
	}
	by, err := ring.signed(TypeRootSet, pinned)
	if err != nil {
		return nil, err
	}
	if err := by.enough(root.K, root.Claims); err != nil {
		return nil, err
	}
	return &Verifier{issuer: root.Issuer, root: root, rootRing: ring, rootText: text}, nil
}

// Issuer returns the environment whose documents are believed.
func (v *Verifier) Issuer() string { return v.issuer }

// RootSet returns the root set in force.
func (v *Verifier) RootSet() RootSet { return v.root }

// KeySet returns the key set in force. Its Number is 0 if there is none yet.
func (v *Verifier) KeySet() KeySet { return v.set }

// Known returns a verifier for documents that were accepted before and are in the caller's own
// store. It does not refuse them because the key set or the documents have expired, nor because of
// a withdrawal with a cut-off after they were issued.
func (v *Verifier) Known() *Verifier {
	w := *v
	w.known = true
	return &w
}

// Filed returns a verifier for the documents of a license file. A file is accepted until the last
// date of its document, however long ago the key set expired. The key set's expiry is therefore
// compared with the document's iat and not with now. All other checks apply, including withdrawal.
func (v *Verifier) Filed() *Verifier {
	w := *v
	w.filed = true
	return &w
}

// WithRootSet trusts the next root set, which needs enough signatures for both the old and the new
// threshold. The root set in force changes nothing. An older one, or a different one with the same
// number, is ErrRollback. If the new root set would not have accepted the current key set, the key
// set is dropped together with its number.
func (v *Verifier) WithRootSet(list []string, now int64) (*Verifier, error) {
	text, err := sharedPayload(list)
	if err != nil {
		return nil, err
	}
	if text == v.rootText {
		return v, nil
	}
	old, err := v.rootRing.signed(TypeRootSet, list)
	if err != nil {
		return nil, err
	}
	if len(old.by) == 0 {
		return nil, fault(ErrThreshold, "no signature by a key in force")
	}
	root, err := decodeDocument[RootSet](old.payload)
	if err != nil {
		return nil, err
	}
	if err := old.enough(v.root.K, root.Claims); err != nil {
		return nil, err
	}
	ring, err := root.ring()
	if err != nil {
		return nil, err
	}
	by, err := ring.signed(TypeRootSet, list)
	if err != nil {
		return nil, err
	}
	if err := by.enough(root.K, root.Claims); err != nil {
		return nil, err
	}
	if err := v.mayReplace(root.Claims, root.Number, v.root.Number, now); err != nil {
		return nil, err
	}
	w := *v
	w.root, w.rootRing, w.rootText = root, ring, text
	if v.set.Number > 0 {
		by, err := ring.signed(TypeKeySet, v.setList)
		if err != nil || by.enough(root.K, v.set.Claims) != nil {
			w.set, w.ring, w.setText, w.setList = KeySet{}, nil, "", nil
		}
	}
	return &w, nil
}

// WithRootSets trusts a sequence of root sets, the oldest first. It skips those that are not newer
// than the one in force. If it fails, it returns the verifier that it had reached, together with
// the error.
func (v *Verifier) WithRootSets(sets [][]string, now int64) (*Verifier, error) {
	for _, list := range sets {
		if numberOf(list) <= v.root.Number {
			continue
		}
		next, err := v.WithRootSet(list, now)
		if err != nil {
			return v, err
		}
		v = next
	}
	return v, nil
}

// WithKeySet trusts a key set that the root set in force has signed. The key set in force costs no
// verification. An expired key set is accepted, but new documents under it are not.
func (v *Verifier) WithKeySet(list []string, now int64) (*Verifier, error) {
	text, err := sharedPayload(list)
	if err != nil {
		return nil, err
	}
	if text == v.setText {
		return v, nil
	}
	by, err := v.rootRing.signed(TypeKeySet, list)
	if err != nil {
		return nil, err
	}
	if len(by.by) == 0 {
		return nil, fault(ErrThreshold, "no signature by a root key")
	}
	set, err := decodeDocument[KeySet](by.payload)
	if err != nil {
		return nil, err
	}
	if err := by.enough(v.root.K, set.Claims); err != nil {
		return nil, err
	}
	if set.Root > v.root.Number { // a root key that remains has signed it, but another may have been dropped
		return nil, fault(ErrThreshold, "root set %d is required; the one in force is %d", set.Root, v.root.Number)
	}
	if set.IssuedAt >= v.root.Expires {
		return nil, fault(ErrExpired, "root set")
	}
	ring, err := set.ring()
	if err != nil {
		return nil, err
	}
	if err := v.mayReplace(set.Claims, set.Number, max(v.set.Number, v.floor), now); err != nil {
		return nil, err
	}
	w := *v
	w.set, w.ring, w.setText, w.setList = set, ring, text, slices.Clone(list)
	return &w, nil
}

// WithFloor trusts a key set that is built into a program together with its root set. It is
// WithKeySet, but afterward no key set with a lower number is trusted, not even under a later root
// set. A key that the floor withdraws thus stays withdrawn.
func (v *Verifier) WithFloor(list []string) (*Verifier, error) {
	w, err := v.WithKeySet(list, 0) // its own dates are not checked against the clock
	if err != nil {
		return nil, err
	}
	f := *w
	f.floor = f.set.Number
	return &f, nil
}

func (v *Verifier) mayReplace(c Claims, number, held, now int64) error {
	if c.Issuer != v.issuer {
		return fault(ErrIssuer, "%s", c.Issuer)
	}
	if number <= held {
		return fault(ErrRollback, "number %d; the one in force is %d", number, held)
	}
	if c.NotBefore > max(now, c.IssuedAt)+Epsilon {
		return ErrNotYet
	}
	return nil
}

// License verifies a license. Now is seconds since 1970. A clock behind the document's iat does not
// matter, because iat is signed.
func (v *Verifier) License(compact string, now int64) (*License, error) {
	return open[License](v, compact, now)
}

// Lease verifies a lease that the origin signed. For an edge's lease, use LeaseChain.
func (v *Verifier) Lease(compact string, now int64) (*Lease, error) {
	l, err := open[Lease](v, compact, now)
	if err != nil {
		return nil, err
	}
	if l.Node != "" {
		return nil, fault(ErrChain, "lease of edge %s has no chain", l.Node)
	}
	return l, nil
}

// Reply verifies the answer to the request with this nonce. The nonce proves that the answer is
// fresh, whatever the clock says. An empty nonce is refused.
func (v *Verifier) Reply(compact, nonce string, now int64) (*Reply, error) {
	if nonce == "" {
		return nil, fault(ErrNonce, "no nonce given")
	}
	r, c, err := read[Reply](v, v.ring, compact)
	if err != nil {
		return nil, err
	}
	if err := v.fresh(r.common(), c, now); err != nil {
		return nil, err
	}
	if r.Nonce != nonce {
		return nil, ErrNonce
	}
	return &r, nil
}

// Revocations verifies the list of rights that end early.
func (v *Verifier) Revocations(compact string, now int64) (*Revocations, error) {
	return open[Revocations](v, compact, now)
}

// Override verifies an exception for one license.
func (v *Verifier) Override(compact string, now int64) (*Override, error) {
	return open[Override](v, compact, now)
}

// Bulletin verifies an exception for many licenses.
func (v *Verifier) Bulletin(compact string, now int64) (*Bulletin, error) {
	return open[Bulletin](v, compact, now)
}

// open verifies a document that a key of the key set signed and that is valid now.
func open[T document](v *Verifier, compact string, now int64) (*T, error) {
	doc, key, err := read[T](v, v.ring, compact)
	if err != nil {
		return nil, err
	}
	if err := v.fresh(doc.common(), key, now); err != nil {
		return nil, err
	}
	if err := v.inForce(doc.common(), doc.lastDate(), now); err != nil {
		return nil, err
	}
	return &doc, nil
}

// read verifies everything that does not depend on the time of day.
func read[T document](v *Verifier, ring keyring, compact string) (doc T, key Key, err error) {
	payload, key, err := ring.verify(doc.kind(), compact)
	if err != nil {
		return doc, key, err
	}
	if doc, err = decodeDocument[T](payload); err != nil {
		return doc, key, err
	}
	c := doc.common()
	if c.Issuer != v.issuer {
		return doc, key, fault(ErrIssuer, "%s", c.Issuer)
	}
	if v.product != "" && len(c.Audience) > 0 && !slices.Contains(c.Audience, v.product) {
		return doc, key, fault(ErrAudience, "%q", c.Audience)
	}
	return doc, key, key.timely(c, doc.lastDate())
}

// fresh refuses a document that the current state of the keys no longer allows.
func (v *Verifier) fresh(c Claims, k Key, now int64) error {
	if v.known || v.filed {
		now = c.IssuedAt // the key set was in force when the document was signed
	}
	if now >= v.set.Expires {
		return ErrKeySetExpired
	}
	if k.Withdrawn == 0 {
		return nil
	}
	if !v.known || c.IssuedAt >= k.Withdrawn {
		return ErrWithdrawn
	}
	return nil
}

func (v *Verifier) inForce(c Claims, last, now int64) error {
	if v.known {
		return nil
	}
	if c.NotBefore > max(now, c.IssuedAt)+Epsilon {
		return ErrNotYet
	}
	if now >= last {
		return ErrExpired
	}
	return nil
}

// decodeDocument decodes and checks a payload.
func decodeDocument[T document](payload []byte) (doc T, err error) {
	if err := Unmarshal(payload, &doc); err != nil {
		return doc, err
	}
	understood := planOf(reflect.TypeFor[T]())
	for _, name := range doc.common().Must {
		if _, ok := understood[name]; !ok {
			return doc, fault(ErrMust, "%q", name)
		}
	}
	return doc, doc.check()
}
