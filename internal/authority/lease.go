package authority

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A Holder is who holds: a machine, user, workload or any name.
type Holder struct {
	Kind       string
	ID         string
	Name       string            // that people recognize the holder by; it decides nothing
	Components map[string]string // of a machine: name to hash
	Device     string            // thumbprint of the device's key
}

// An AcquireRequest asks for units of a pool. The same RequestID gives the
// same lease again for as long as that is remembered.
type AcquireRequest struct {
	RequestID string
	Nonce     string
	Pool      string
	Units     int64 // 0 is 1
	Holder    Holder
	Instance  string         // which of the holder's instances holds
	For       licensing.Span // how long, 0 for the pool's own
	Wait      licensing.Span // how long to hold the request while others have the units
	Caller    licensing.Caller
}

// A RenewalRequest keeps a lease for another while. Nonce tells a request that
// is sent again because its answer was lost from that of a copy.
type RenewalRequest struct {
	Lease      licensing.LeaseID
	Generation int64
	Nonce      string
	For        licensing.Span
	// Document is the lease's last document, shown when the record may have lost
	// it. It counts only after a loss.
	Document string
	Caller   licensing.Caller
}

// A ReleaseRequest gives a lease back. A holder that lost the answer to a
// renewal knows the generation before it, and shows the renewal's nonce to be
// told from a copy. Force ends the lease against its holder, and needs neither.
type ReleaseRequest struct {
	Lease      licensing.LeaseID
	Generation int64
	Nonce      string
	Force      bool
	Document   string // as of a renewal
	Caller     licensing.Caller
}

// Granted is what became of an acquire or a renewal. Lease is nil and Document
// empty when the decision allows no unit; Ticket is set while queued. Reply is
// the decision signed, when the request had a nonce and there is no document.
type Granted struct {
	Decision license.Decision
	Lease    *licensing.Lease
	Document string
	Ticket   *licensing.Ticket
	Reply    string
}

// Released is what a release freed. FreeAt is later than now for a lease that
// was ended by force: its signed document lives on.
type Released struct {
	ID     licensing.LeaseID
	FreeAt time.Time
}

// Acquire grants units, or says why not. A denial is a decision and not an
// error. An error of code outcome_unknown is to be repeated with the same id.
func (a *Authority) Acquire(ctx context.Context, p access.Principal, q AcquireRequest) (Granted, error) {
	if q.Units == 0 {
		q.Units = 1
	}
	if err := q.check(); err != nil {
		return Granted{}, err
	}
	o := a.op(p, opAcquire, q.Caller)
	o.acquire = q
	if q.Wait <= 0 {
		return a.grant(ctx, o, q.Nonce)
	}
	k := wakeup{o.env, o.license, q.RequestID}
	one, woken := a.waiters.join(k)
	defer a.waiters.leave(k, one)
	err := a.do(ctx, o)
	if err == nil && o.answer.queued != nil {
		if err = a.await(ctx, o, one, woken); err == nil {
			err = o.answer.err
		}
	}
	if err != nil {
		return Granted{}, err
	}
	return a.granted(o, q.Nonce, nil)
}

func (q AcquireRequest) check() error {
	for _, f := range []struct{ name, value string }{{"request_id", q.RequestID}, {"holder.id", q.Holder.ID}} {
		if f.value == "" {
			return licensing.Errorf(licensing.Invalid, "%s is missing", f.name).At(f.name)
		}
	}
	if err := checkNames(text{"request_id", q.RequestID}, text{"instance", q.Instance}, text{"pool", q.Pool}); err != nil {
		return err
	}
	if err := checkHolder(q.Holder.Kind, q.Holder.ID, q.Holder.Components); err != nil {
		return err
	}
	if err := cmp.Or(checkTexts(text{"holder.name", q.Holder.Name}), checkCaller(q.Caller)); err != nil {
		return err
	}
	switch {
	case q.Units < 1 || q.Units > licensing.MaxUnits:
		return licensing.Errorf(licensing.Invalid, "units %d are not between 1 and %d", q.Units, licensing.MaxUnits).At("units")
	case q.For < 0 || q.Wait < 0:
		return licensing.Errorf(licensing.Invalid, "a length of time is below zero").At("for")
	}
	return checkNonce(q.Nonce)
}

func (r ReleaseRequest) check() error {
	if err := checkNames(text{"id", string(r.Lease)}); err != nil {
		return err
	}
	if err := checkCaller(r.Caller); err != nil {
		return err
	}
	return checkNonce(r.Nonce)
}

func (r RenewalRequest) check() error {
	if err := checkNames(text{"id", string(r.Lease)}); err != nil {
		return err
	}
	if err := checkCaller(r.Caller); err != nil {
		return err
	}
	if r.For < 0 {
		return licensing.Errorf(licensing.Invalid, "a length of time is below zero").At("for")
	}
	return checkNonce(r.Nonce)
}

// Renew keeps a lease for another while.
func (a *Authority) Renew(ctx context.Context, p access.Principal, r RenewalRequest) (Granted, error) {
	o, err := a.renewal(p, r)
	if err != nil {
		return Granted{}, err
	}
	return a.grant(ctx, o, r.Nonce)
}

// Release gives units back. Doing it again says the same. Force needs a
// principal that is no program.
func (a *Authority) Release(ctx context.Context, p access.Principal, r ReleaseRequest) (Released, error) {
	if r.Force {
		if err := require(p, access.LeaseFree); err != nil {
			return Released{}, err
		}
	}
	if p.Kind != access.KindLicense && !r.Force {
		return Released{}, licensing.Errorf(licensing.Invalid, "only the holder releases a lease; use force").At("force")
	}
	o, err := a.ending(p, r)
	if err != nil {
		return Released{}, err
	}
	if err := a.mayRelease(ctx, p, o); err != nil {
		return Released{}, err
	}
	if err := a.do(ctx, o); err != nil {
		return Released{}, err
	}
	return Released{ID: r.Lease, FreeAt: o.answer.freeAt}, nil
}

func (a *Authority) renewal(p access.Principal, r RenewalRequest) (*op, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	o := a.op(p, opRenew, r.Caller)
	o.renew = r
	return o, a.believe(o, r.Document, r.Lease, r.Generation)
}

func (a *Authority) ending(p access.Principal, r ReleaseRequest) (*op, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	o := a.op(p, opRelease, r.Caller)
	o.release = r
	return o, a.believe(o, r.Document, r.Lease, r.Generation)
}

// mayRelease lets nobody end a lease that they may not see.
func (a *Authority) mayRelease(ctx context.Context, p access.Principal, o *op) error {
	if !o.release.Force || p.Customer == "" && p.Product == "" {
		return nil
	}
	return a.view(ctx, func(tx *store.Tx) error {
		l, err := tx.Lease(ctx, store.LeaseKey{Env: p.Env, ID: o.release.Lease})
		if err != nil {
			return err
		}
		terms, err := a.terms(ctx, tx, []store.LicenseKey{{Env: p.Env, ID: l.License}})
		if err != nil {
			return err
		}
		if t := terms[store.LicenseKey{Env: p.Env, ID: l.License}]; t == nil || !p.Sees(t.Customer, t.Product) {
			return licensing.Errorf(licensing.NotFound, "no lease %s", l.ID)
		}
		return nil
	})
}

// A LeaseBatch is many requests that most likely share a transaction. Each has
// its own outcome.
type LeaseBatch struct {
	Acquire []AcquireRequest
	Renew   []RenewalRequest
	Release []ReleaseRequest
}

// A LeaseOutcome is what became of one request of a batch.
type LeaseOutcome struct {
	Granted  Granted
	Released Released
	Err      error
}

// LeaseOutcomes are in the order of the requests.
type LeaseOutcomes struct {
	Acquire []LeaseOutcome
	Renew   []LeaseOutcome
	Release []LeaseOutcome
}

// Batch does many requests of one program at once; it does not wait in queues.
func (a *Authority) Batch(ctx context.Context, p access.Principal, q LeaseBatch) LeaseOutcomes {
	out := LeaseOutcomes{
		Acquire: make([]LeaseOutcome, len(q.Acquire)),
		Renew:   make([]LeaseOutcome, len(q.Renew)),
		Release: make([]LeaseOutcome, len(q.Release)),
	}
	var ops []*op
	var outcomes []*LeaseOutcome
	unknown := a.requireEnvironment(ctx, p.Env)
	add := func(o *op, to *LeaseOutcome, err error) {
		o.call = callIn(ctx)
		if to.Err = cmp.Or(unknown, err); to.Err == nil {
			ops, outcomes = append(ops, o), append(outcomes, to)
		}
	}
	for i, r := range q.Release {
		r.Force = false
		o, err := a.ending(p, r)
		add(o, &out.Release[i], err)
	}
	for i, r := range q.Renew {
		o, err := a.renewal(p, r)
		add(o, &out.Renew[i], err)
	}
	for i, r := range q.Acquire {
		o := a.op(p, opAcquire, r.Caller)
		r.Units = max(r.Units, btoi(r.Units == 0))
		o.acquire = r
		add(o, &out.Acquire[i], r.check())
	}
	if len(ops) == 0 {
		return out
	}
	errs := a.commits.DoAll(ctx, classOf, ops[0].part(), ops)
	for i, o := range ops {
		a.outcome(o, outcomes[i], errs[i])
	}
	return out
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (a *Authority) outcome(o *op, to *LeaseOutcome, err error) {
	if err == nil {
		err = o.answer.err
	}
	switch {
	case err != nil:
		to.Err = err
	case o.kind == opRelease:
		to.Released = Released{ID: o.release.Lease, FreeAt: o.answer.freeAt}
	case o.kind == opRenew:
		to.Granted, to.Err = a.granted(o, o.renew.Nonce, nil)
	default:
		to.Granted, to.Err = a.granted(o, o.acquire.Nonce, nil)
	}
}

func (a *Authority) op(p access.Principal, kind opKind, by licensing.Caller) *op {
	return &op{kind: kind, env: p.Env, license: p.License, actor: p.Actor, by: by, sees: p.Kind != access.KindLicense}
}

// do runs o in the next transaction.
func (a *Authority) do(ctx context.Context, o *op) error {
	if err := a.requireEnvironment(ctx, o.env); err != nil {
		return err
	}
	o.call = callIn(ctx)
	if err := a.commits.Do(ctx, o.kind.class(), o.part(), o); err != nil {
		return err
	}
	return o.answer.err
}

// A draft is a lease's document that was signed while its batch committed. It
// is worth nothing, and shown to nobody, until the commit is durable.
type draft struct {
	lease    *licensing.Lease
	document string
	err      error
}

// grant runs o in the next transaction and signs what was decided in the
// requester's own goroutine: a batch does not wait for signatures, and a
// signature does not wait for the disk.
func (a *Authority) grant(ctx context.Context, o *op, nonce string) (Granted, error) {
	if err := a.requireEnvironment(ctx, o.env); err != nil {
		return Granted{}, err
	}
	var d *draft
	o.call = callIn(ctx)
	o.ready = make(chan struct{}, 1)
	err := a.commits.DoMeanwhile(ctx, o.kind.class(), o.part(), o, o.ready, func() {
		d = &draft{lease: o.early.lease}
		d.document, d.err = a.signLease(o.env, o.early, nonce)
	})
	if err == nil {
		err = o.answer.err
	}
	if err != nil {
		return Granted{}, err
	}
	return a.granted(o, nonce, d)
}

// granted says what was decided, signed. It runs after the commit. A batch that
// was tried again has decided anew, and a draft of before counts no more.
func (a *Authority) granted(o *op, nonce string, d *draft) (Granted, error) {
	an := &o.answer
	a.count(o)
	if an.decision.Outcome == license.Denied || an.decision.Code == license.CodeFallback {
		o.name(an.now)
		an.decision.RequestID = o.call
	}
	given := Granted{Decision: an.decision, Ticket: an.queued}
	if an.decision.Outcome == license.Allowed && an.lease != nil && an.queued == nil {
		if d == nil || d.lease != an.lease {
			d = &draft{}
			d.document, d.err = a.signLease(o.env, an, nonce)
		}
		if d.err == nil {
			d.err = a.ring.Record(d.document)
		}
		if d.err != nil {
			return Granted{}, d.err
		}
		given.Lease, given.Document = an.lease, d.document
		return given, nil
	}
	if nonce == "" {
		return given, nil
	}
	var err error
	given.Reply, err = a.reply(&an.terms.Terms, question{nonce: nonce, entry: an.entryText()}, an.decision, an.now)
	return given, err
}

func (a *Authority) count(o *op) {
	an := &o.answer
	product, pool := "", o.acquire.Pool
	if an.lease != nil {
		pool = an.lease.Pool
	}
	if an.terms != nil {
		product, pool = string(an.terms.Product), measured(an.terms.Pools, pool)
	}
	a.metrics.Decision(string(o.env), product, pool, string(an.decision.Outcome), an.decision.Code)
	if an.decision.Outcome == license.Denied {
		a.metrics.Denial(string(o.env), product, pool, an.decision.Code, an.retried)
	}
}

// measured is the name that instruments have for one of a plan's things: what a
// plan does not have is asked for under names without number.
func measured[T any](planned map[string]T, name string) string {
	if _, ok := planned[name]; !ok {
		return ""
	}
	return name
}

func (an *answer) entryText() string {
	if !an.entered {
		return ""
	}
	return hex.EncodeToString(an.entry[:])
}

// signLease signs the document of the lease that an gives. Who hands it out
// records it.
func (a *Authority) signLease(env licensing.Env, an *answer, nonce string) (string, error) {
	l := an.lease
	doc := license.Lease{
		Claims: license.Claims{
			Issuer: a.ring.Issuer(env), Audience: []string{string(an.terms.Product)}, Subject: string(an.terms.License),
			IssuedAt: an.dates.Issued.Unix(), NotBefore: an.dates.Issued.Unix(), Expires: an.dates.Expires.Unix(),
			ID: documentID(an.dates.Issued), Version: license.Version, Seq: license.Seq{Epoch: a.epoch.Load(), Counter: l.Generation},
		},
		Dates: an.dates.Dates,
		Lease: string(l.ID), Pool: l.Pool, Units: l.Units, Holder: l.Holder, Instance: l.Instance, Generation: l.Generation,
		Entry: an.entryText(), Head: a.head(env), Nonce: nonce,
	}
	if until := a.ring.TrustUntil(env, an.dates.Issued); !until.IsZero() {
		clip(&doc, until.Unix())
	}
	if l.Asker.Recall != nil {
		doc.Recall = l.Asker.Recall.Document()
	}
	if l.Asker.Components != nil || l.Asker.Device != "" {
		doc.Binding = &license.Binding{Kind: l.Asker.Kind, Holder: l.Holder, Components: l.Asker.Components, Device: l.Asker.Device}
		if rule, planned := an.terms.Pools[l.Pool]; planned {
			doc.Binding.Need = min(rule.Match.Need, len(l.Asker.Components))
		}
	}
	return a.ring.Draft(env, license.TypeLease, doc, an.dates.Issued)
}

// clip cuts a document's dates to the last one that its key may sign.
func clip(doc *license.Lease, last int64) {
	for _, at := range []*int64{&doc.Refresh[0], &doc.Refresh[1], &doc.Stale, &doc.Due, &doc.Expires, &doc.Degraded} {
		*at = min(*at, last)
	}
}
