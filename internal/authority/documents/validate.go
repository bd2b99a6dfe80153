package documents

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// Limits of one validation.
const (
	maxFeatures = 64
)

// bindingGrace is how long a holder keeps full function after its fingerprint stops matching. The
// server sends it, and the client measures it.
const bindingGrace = license.BindingGrace * time.Second

// A ValidateRequest is a program's description of itself and its question what the license allows.
// Only Product is required.
type ValidateRequest struct {
	Product   licensing.ProductName
	Nonce     string
	Holder    string          // the prospective holder; may be empty
	Asker     licensing.Asker // the attributes of the holder
	DeviceKey string          // X25519 public key, base64url; feature keys are wrapped for it
	Released  time.Time       // release date of the program's build
	Features  []string        // all of them must be in force
	Caller    licensing.Caller
}

// A Validation is the answer: the decision, the license document and, if the request had a nonce,
// the signed reply that binds both to the request.
type Validation struct {
	Decision    license.Decision
	License     string
	Reply       string
	KeySet      int64 // number of the current key set
	Revocations int64 // number of the current revocation list
}

// Validate decides whether p's license allows the program to run, and returns the license's
// document. If the license starts with its first use, Validate starts it. It stores the first
// denials of each minute; all other validations write nothing. A denial is not an error.
func (docs *Documents) Validate(ctx context.Context, p access.Principal, r ValidateRequest) (Validation, error) {
	if err := r.check(); err != nil {
		return Validation{}, err
	}
	now := docs.ledger.DB.Latest()
	f, err := docs.inForce(ctx, p.Env, p.License, now)
	if err != nil {
		return Validation{}, err
	}
	if f.terms.AwaitsFirstUse() && r.Product == f.terms.Product {
		if f, err = docs.firstUse(ctx, p); err != nil {
			return Validation{}, err
		}
		now = docs.ledger.DB.Latest() // the term may have begun after the first read
	}
	docs.Seen.Note(store.LicenseRef{Env: p.Env, ID: p.License}, r.Caller, now)
	b, err := docs.bind(ctx, f, r)
	if err != nil {
		return Validation{}, err
	}
	v := Validation{
		Decision: docs.decide(f, r, b, now),
		KeySet:   docs.ledger.Ring.KeySetNumber(p.Env),
	}
	if v.Decision.Outcome == license.Denied {
		v.Decision.RequestID = cmp.Or(request.CallIn(ctx), docs.ledger.NewCall())
	}
	revocations, err := docs.Revocations(ctx, p.Env)
	if err != nil {
		return Validation{}, err
	}
	v.Revocations = revocations.Number
	q := Question{Nonce: r.Nonce, product: r.Product}
	if r.Product == f.terms.Product {
		doc, err := docs.document(f, b.variant(r.DeviceKey), b.binding, now)
		if err != nil && licensing.CodeOf(err) != licensing.Gone {
			return Validation{}, err
		}
		if err == nil {
			v.License, q.document = doc.compact, doc.hash
		}
	}
	docs.ledger.Metrics.Decision(string(p.Env), string(f.terms.Product), "", string(v.Decision.Outcome), v.Decision.Code)
	if b.mismatch || v.Decision.Outcome == license.Denied {
		q.Entry = docs.noteValidation(ctx, p, f, r, b, v.Decision, now)
	}
	v.Reply, err = docs.Reply(&f.terms, q, v.Decision, now)
	return v, err
}

func (r ValidateRequest) check() error {
	switch {
	case r.Product == "" || len(r.Product) > 64 || request.CheckTexts(request.Text{Field: "product", Value: string(r.Product)}) != nil:
		return licensing.Errorf(licensing.Invalid, "product must have 1 to 64 characters").At("product")
	case len(r.Features) > maxFeatures:
		return licensing.Errorf(licensing.Invalid, "features has more than %d entries", maxFeatures).At("features")
	}
	if r.DeviceKey != "" {
		if _, err := devicePoint(r.DeviceKey); err != nil {
			return err
		}
	}
	if err := request.CheckHolder(r.Asker.Kind, r.Holder, r.Asker.Components); err != nil {
		return err
	}
	if err := request.CheckCaller(r.Caller); err != nil {
		return err
	}
	for _, name := range r.Features {
		if err := request.CheckNames(request.Text{Field: "features", Value: name}); err != nil {
			return err
		}
	}
	if err := licensing.CheckDate("released", r.Released); err != nil {
		return err
	}
	return CheckNonce(r.Nonce)
}

// decide applies the rules in order: product, term, maintenance, features, machine. The first rule
// that denies decides.
func (docs *Documents) decide(f *inForce, r ValidateRequest, b bound, now time.Time) license.Decision {
	if r.Product != f.terms.Product {
		return license.Decision{Outcome: license.Denied, Code: license.CodeWrongProduct, Rule: "license.product",
			Reason: "the license is for another product", State: license.StateDenied}
	}
	d := f.terms.InForce(now)
	if d.Outcome == license.Denied {
		return d
	}
	if m := f.terms.Maintained(r.Released); m.Outcome == license.Denied {
		return m
	}
	for _, name := range r.Features {
		if feature := f.terms.Feature(name, now); feature.Outcome == license.Denied {
			return feature
		}
	}
	if b.mismatch {
		d.Code, d.Rule = license.CodeBindingMismatch, "pool.match"
		d.Reason = "the machine no longer matches the one that the license is bound to; release the license there, or ask for it to be moved"
		d.Next, d.NextAt = string(license.StateDegraded), now.Add(bindingGrace).Unix()
	}
	return d
}

// bound is the holder of a lease without end, to which a document is bound.
type bound struct {
	lease    licensing.LeaseID
	binding  *license.Binding
	mismatch bool // the caller's components differ from the lease's
}

func (b bound) variant(device string) variant { return variant{device: device, lease: b.lease} }

// bind finds the lease without end that binds the license to the caller. If the holder has no such
// lease, the license is not bound. The program must then acquire one first, or does not need one.
func (docs *Documents) bind(ctx context.Context, f *inForce, r ValidateRequest) (bound, error) {
	if r.Holder == "" || r.Product != f.terms.Product {
		return bound{}, nil
	}
	pools := f.endless(r.Asker.Kind)
	if len(pools) == 0 {
		return bound{}, nil
	}
	key := holderKey(r)
	if b, known := f.bindings.get(key); known {
		return b, nil
	}
	var b bound
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		for _, name := range pools {
			if b, err = bindTo(ctx, tx, f.terms, name, r); err != nil || b.lease != "" {
				return err
			}
		}
		return nil
	})
	if err == nil {
		f.bindings.put(key, b)
		docs.licenses.Resized(f.key, f)
	}
	return b, err
}

// bindTo looks for the lease in one pool, first by the holder's name, then by the machine's
// components, which can outlast a name.
func bindTo(ctx context.Context, tx *store.Tx, t licensing.Terms, name string, r ValidateRequest) (bound, error) {
	pool, key := t.Pools[name], store.PoolKey{Env: t.Env, License: t.License, Name: name}
	leases, err := tx.HolderLeases(ctx, key, r.Holder)
	if err != nil {
		return bound{}, err
	}
	if len(leases) == 0 && pool.Match.Need > 0 && len(r.Asker.Components) > 0 {
		keys, err := tx.MatchComponents(ctx, key, r.Asker.Components, pool.Match.Need)
		if err != nil || len(keys) == 0 {
			return bound{}, err
		}
		if leases, err = tx.Leases(ctx, keys[:1]); err != nil {
			return bound{}, err
		}
	}
	if len(leases) == 0 {
		return bound{}, nil
	}
	l := leases[0]
	return bound{
		lease:    l.ID,
		mismatch: pool.Match.Need > 0 && !pool.SameMachine(*l, r.Asker.Components),
		binding:  &license.Binding{Kind: l.Asker.Kind, Holder: l.Holder, Need: pool.Match.Need, Components: l.Asker.Components},
	}, nil
}

// endless returns, by name, the pools for a kind of holder whose leases have no end.
func (f *inForce) endless(kind string) []string {
	var pools []string
	for name, pool := range f.terms.Pools {
		if pool.Endless() && pool.Holder == kind {
			pools = append(pools, name)
		}
	}
	slices.Sort(pools)
	return pools
}

// holderKey identifies the caller by everything that affects a binding.
func holderKey(r ValidateRequest) string {
	key := r.Asker.Kind + "\x00" + r.Holder
	for _, name := range slices.Sorted(maps.Keys(r.Asker.Components)) {
		key += "\x00" + name + "\x00" + r.Asker.Components[name]
	}
	return key
}

// bindings are the bindings found since the license was loaded.
type bindings struct {
	mu       sync.Mutex
	byHolder map[string]bound
}

func (b *bindings) get(key string) (bound, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, known := b.byHolder[key]
	return found, known
}

// size estimates the bytes of the bindings.
func (b *bindings) size() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, found := range b.byHolder {
		n += 128 + len(key)
		if found.binding != nil {
			n += 128 + len(found.binding.Holder) + 160*len(found.binding.Components)
		}
	}
	return n
}

func (b *bindings) put(key string, found bound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byHolder == nil || len(b.byHolder) >= maxVariants {
		b.byHolder = map[string]bound{}
	}
	b.byHolder[key] = found
}

// firstUse starts the term of a license that starts with its first use.
func (docs *Documents) firstUse(ctx context.Context, p access.Principal) (*inForce, error) {
	err := docs.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error { return Begin(ctx, tx, p.License) })
	if err != nil {
		return nil, err
	}
	// Another request may have committed the start without announcing it yet.
	docs.licenses.Forget(store.LicenseRef{Env: p.Env, ID: p.License})
	return docs.inForce(ctx, p.Env, p.License, docs.ledger.DB.Latest())
}

// Begin starts the term of a license at the transaction's time, unless it has already begun.
func Begin(ctx context.Context, tx *ledger.Tx, id licensing.LicenseID) error {
	l, ok, err := tx.LockLicense(ctx, tx.Env, id)
	if err == nil && !ok {
		err = request.NotFound("license", id)
	}
	if err != nil || !l.Start.IsZero() {
		return err
	}
	revision, err := catalog.RevisionOf(ctx, tx.Tx, l)
	if err != nil {
		return err
	}
	l = revision.Plan.Term.Begin(l, tx.Now())
	_, err = catalog.StoreLicense(ctx, tx, l, licensing.LicenseStarted, entry.Started{Start: l.Start, End: l.End})
	return err
}
