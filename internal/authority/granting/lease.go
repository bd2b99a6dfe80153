package granting

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// An AcquireRequest asks for units of a pool. The same RequestID gives the
// same lease again for as long as that is remembered.
type AcquireRequest struct {
	RequestID string
	Nonce     string
	Pool      string
	Units     int64 // 0 is 1
	Holder    request.Holder
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
func (g *Granting) Acquire(ctx context.Context, p access.Principal, q AcquireRequest) (Granted, error) {
	if q.Units == 0 {
		q.Units = 1
	}
	if err := q.check(); err != nil {
		return Granted{}, err
	}
	o := g.Op(p, OpAcquire, q.Caller)
	o.Acquire = q
	if q.Wait <= 0 {
		return g.grant(ctx, o, q.Nonce)
	}
	k := wakeup{o.Env, o.License, q.RequestID}
	one, woken := g.waiters.join(k)
	defer g.waiters.leave(k, one)
	err := g.do(ctx, o)
	if err == nil && o.Answer.Queued != nil {
		if err = g.await(ctx, o, one, woken); err == nil {
			err = o.Answer.Err
		}
	}
	if err != nil {
		return Granted{}, err
	}
	return g.granted(o, q.Nonce, nil)
}

func (q AcquireRequest) check() error {
	for _, f := range []struct{ name, value string }{{"request_id", q.RequestID}, {"holder.id", q.Holder.ID}} {
		if f.value == "" {
			return licensing.Errorf(licensing.Invalid, "%s is missing", f.name).At(f.name)
		}
	}
	if err := request.CheckNames(request.Text{Field: "request_id", Value: q.RequestID}, request.Text{Field: "instance", Value: q.Instance}, request.Text{Field: "pool", Value: q.Pool}); err != nil {
		return err
	}
	if err := request.CheckHolder(q.Holder.Kind, q.Holder.ID, q.Holder.Components); err != nil {
		return err
	}
	if err := cmp.Or(request.CheckTexts(request.Text{Field: "holder.name", Value: q.Holder.Name}), request.CheckCaller(q.Caller)); err != nil {
		return err
	}
	switch {
	case q.Units < 1 || q.Units > licensing.MaxUnits:
		return licensing.Errorf(licensing.Invalid, "units %d are not between 1 and %d", q.Units, licensing.MaxUnits).At("units")
	case q.For < 0 || q.Wait < 0:
		return licensing.Errorf(licensing.Invalid, "a length of time is below zero").At("for")
	}
	return documents.CheckNonce(q.Nonce)
}

func (r ReleaseRequest) check() error {
	if err := request.CheckNames(request.Text{Field: "id", Value: string(r.Lease)}); err != nil {
		return err
	}
	if err := request.CheckCaller(r.Caller); err != nil {
		return err
	}
	return documents.CheckNonce(r.Nonce)
}

func (r RenewalRequest) check() error {
	if err := request.CheckNames(request.Text{Field: "id", Value: string(r.Lease)}); err != nil {
		return err
	}
	if err := request.CheckCaller(r.Caller); err != nil {
		return err
	}
	if r.For < 0 {
		return licensing.Errorf(licensing.Invalid, "a length of time is below zero").At("for")
	}
	return documents.CheckNonce(r.Nonce)
}

// Renew keeps a lease for another while.
func (g *Granting) Renew(ctx context.Context, p access.Principal, r RenewalRequest) (Granted, error) {
	o, err := g.renewal(p, r)
	if err != nil {
		return Granted{}, err
	}
	return g.grant(ctx, o, r.Nonce)
}

// Release gives units back. Doing it again says the same. Force needs a
// principal that is no program.
func (g *Granting) Release(ctx context.Context, p access.Principal, r ReleaseRequest) (Released, error) {
	if r.Force {
		if err := request.Require(p, access.LeaseFree); err != nil {
			return Released{}, err
		}
	}
	if p.Kind != access.KindLicense && !r.Force {
		return Released{}, licensing.Errorf(licensing.Invalid, "only the holder releases a lease; use force").At("force")
	}
	o, err := g.ending(p, r)
	if err != nil {
		return Released{}, err
	}
	if err := g.mayRelease(ctx, p, o); err != nil {
		return Released{}, err
	}
	if err := g.do(ctx, o); err != nil {
		return Released{}, err
	}
	return Released{ID: r.Lease, FreeAt: o.Answer.FreeAt}, nil
}

func (g *Granting) renewal(p access.Principal, r RenewalRequest) (*Op, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	o := g.Op(p, OpRenew, r.Caller)
	o.Renew = r
	return o, g.believe(o, r.Document, r.Lease, r.Generation)
}

func (g *Granting) ending(p access.Principal, r ReleaseRequest) (*Op, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	o := g.Op(p, OpRelease, r.Caller)
	o.Release = r
	return o, g.believe(o, r.Document, r.Lease, r.Generation)
}

// mayRelease lets nobody end a lease that they may not see.
func (g *Granting) mayRelease(ctx context.Context, p access.Principal, o *Op) error {
	if !o.Release.Force || p.Customer == "" && p.Product == "" {
		return nil
	}
	return g.ledger.View(ctx, func(tx *store.Tx) error {
		l, err := tx.Lease(ctx, store.LeaseKey{Env: p.Env, ID: o.Release.Lease})
		if err != nil {
			return err
		}
		terms, err := g.Terms(ctx, tx, []store.LicenseRef{{Env: p.Env, ID: l.License}})
		if err != nil {
			return err
		}
		if t := terms[store.LicenseRef{Env: p.Env, ID: l.License}]; t == nil || !p.Sees(t.Customer, t.Product) {
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
func (g *Granting) Batch(ctx context.Context, p access.Principal, q LeaseBatch) LeaseOutcomes {
	out := LeaseOutcomes{
		Acquire: make([]LeaseOutcome, len(q.Acquire)),
		Renew:   make([]LeaseOutcome, len(q.Renew)),
		Release: make([]LeaseOutcome, len(q.Release)),
	}
	var ops []*Op
	var outcomes []*LeaseOutcome
	unknown := g.ledger.RequireEnvironment(ctx, p.Env)
	add := func(o *Op, to *LeaseOutcome, err error) {
		o.Call = request.CallIn(ctx)
		if to.Err = cmp.Or(unknown, err); to.Err == nil {
			ops, outcomes = append(ops, o), append(outcomes, to)
		}
	}
	for i, r := range q.Release {
		r.Force = false
		o, err := g.ending(p, r)
		add(o, &out.Release[i], err)
	}
	for i, r := range q.Renew {
		o, err := g.renewal(p, r)
		add(o, &out.Renew[i], err)
	}
	for i, r := range q.Acquire {
		o := g.Op(p, OpAcquire, r.Caller)
		r.Units = max(r.Units, Btoi(r.Units == 0))
		o.Acquire = r
		add(o, &out.Acquire[i], r.check())
	}
	if len(ops) == 0 {
		return out
	}
	errs := g.commits.DoAll(ctx, classOf, ops[0].part(), ops)
	for i, o := range ops {
		g.Outcome(o, outcomes[i], errs[i])
	}
	return out
}

// Btoi returns 1 for true.
func Btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Outcome sets to to what became of o; err is that of its batch.
func (g *Granting) Outcome(o *Op, to *LeaseOutcome, err error) {
	if err == nil {
		err = o.Answer.Err
	}
	switch {
	case err != nil:
		to.Err = err
	case o.Kind == OpRelease:
		to.Released = Released{ID: o.Release.Lease, FreeAt: o.Answer.FreeAt}
	case o.Kind == OpRenew:
		to.Granted, to.Err = g.granted(o, o.Renew.Nonce, nil)
	default:
		to.Granted, to.Err = g.granted(o, o.Acquire.Nonce, nil)
	}
}

// Op returns a request of p, without what its kind asks for.
func (g *Granting) Op(p access.Principal, kind OpKind, by licensing.Caller) *Op {
	return &Op{Kind: kind, Env: p.Env, License: p.License, Actor: p.Actor, by: by, sees: p.Kind != access.KindLicense}
}

// do runs o in the next transaction.
func (g *Granting) do(ctx context.Context, o *Op) error {
	if err := g.ledger.RequireEnvironment(ctx, o.Env); err != nil {
		return err
	}
	o.Call = request.CallIn(ctx)
	if err := g.commits.Do(ctx, o.Kind.Class(), o.part(), o); err != nil {
		return err
	}
	return o.Answer.Err
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
func (g *Granting) grant(ctx context.Context, o *Op, nonce string) (Granted, error) {
	if err := g.ledger.RequireEnvironment(ctx, o.Env); err != nil {
		return Granted{}, err
	}
	var d *draft
	o.Call = request.CallIn(ctx)
	o.ready = make(chan struct{}, 1)
	err := g.commits.DoMeanwhile(ctx, o.Kind.Class(), o.part(), o, o.ready, func() {
		d = &draft{lease: o.early.Lease}
		d.document, d.err = g.SignLease(o.Env, o.early, nonce)
	})
	if err == nil {
		err = o.Answer.Err
	}
	if err != nil {
		return Granted{}, err
	}
	return g.granted(o, nonce, d)
}

// granted says what was decided, signed. It runs after the commit. A batch that
// was tried again has decided anew, and a draft of before counts no more.
func (g *Granting) granted(o *Op, nonce string, d *draft) (Granted, error) {
	an := &o.Answer
	g.count(o)
	if an.Decision.Outcome == license.Denied || an.Decision.Code == license.CodeFallback {
		o.name(an.now)
		an.Decision.RequestID = o.Call
	}
	given := Granted{Decision: an.Decision, Ticket: an.Queued}
	if an.Decision.Outcome == license.Allowed && an.Lease != nil && an.Queued == nil {
		if d == nil || d.lease != an.Lease {
			d = &draft{}
			d.document, d.err = g.SignLease(o.Env, an, nonce)
		}
		if d.err == nil {
			d.err = g.ledger.Ring.Record(d.document)
		}
		if d.err != nil {
			return Granted{}, d.err
		}
		given.Lease, given.Document = an.Lease, d.document
		return given, nil
	}
	if nonce == "" {
		return given, nil
	}
	var err error
	given.Reply, err = g.documents.Reply(&an.terms.Terms, documents.Question{Nonce: nonce, Entry: an.entryText()}, an.Decision, an.now)
	return given, err
}

func (g *Granting) count(o *Op) {
	an := &o.Answer
	product, pool := "", o.Acquire.Pool
	if an.Lease != nil {
		pool = an.Lease.Pool
	}
	if an.terms != nil {
		product, pool = string(an.terms.Product), measured(an.terms.Pools, pool)
	}
	g.ledger.Metrics.Decision(string(o.Env), product, pool, string(an.Decision.Outcome), an.Decision.Code)
	if an.Decision.Outcome == license.Denied {
		g.ledger.Metrics.Denial(string(o.Env), product, pool, an.Decision.Code, an.Retried)
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
	if !an.Entered {
		return ""
	}
	return hex.EncodeToString(an.Entry[:])
}

// SignLease signs the document of the lease that an gives. Who hands it out
// records it.
func (g *Granting) SignLease(env licensing.Env, an *answer, nonce string) (string, error) {
	l := an.Lease
	doc := license.Lease{
		Claims: license.Claims{
			Issuer: g.ledger.Ring.Issuer(env), Audience: []string{string(an.terms.Product)}, Subject: string(an.terms.License),
			IssuedAt: an.dates.Issued.Unix(), NotBefore: an.dates.Issued.Unix(), Expires: an.dates.Expires.Unix(),
			ID: documents.DocumentID(an.dates.Issued), Version: license.Version, Seq: license.Seq{Epoch: g.ledger.Epoch.Load(), Counter: l.Generation},
		},
		Dates: an.dates.Dates,
		Lease: string(l.ID), Pool: l.Pool, Units: l.Units, Holder: l.Holder, Instance: l.Instance, Generation: l.Generation,
		Entry: an.entryText(), Head: g.ledger.Head(env), Nonce: nonce,
	}
	if until := g.ledger.Ring.TrustUntil(env, an.dates.Issued); !until.IsZero() {
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
	return g.ledger.Ring.Draft(env, license.TypeLease, doc, an.dates.Issued)
}

// clip cuts a document's dates to the last one that its key may sign.
func clip(doc *license.Lease, last int64) {
	for _, at := range []*int64{&doc.Refresh[0], &doc.Refresh[1], &doc.Stale, &doc.Due, &doc.Expires, &doc.Degraded} {
		*at = min(*at, last)
	}
}
