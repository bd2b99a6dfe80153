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

// An AcquireRequest requests units of a pool. The same RequestID returns the same lease for as long
// as the request is remembered.
type AcquireRequest struct {
	RequestID string
	Nonce     string
	Pool      string
	Units     int64 // 0 means 1
	Holder    request.Holder
	Instance  string         // the instance of the holder
	For       licensing.Span // the length of the lease; 0 means the pool's default
	Wait      licensing.Span // how long to wait if no units are free
	Caller    licensing.Caller
}

// A RenewalRequest extends a lease. Nonce distinguishes a request that was sent again, because its
// answer was lost, from the request of a copy.
type RenewalRequest struct {
	Lease      licensing.LeaseID
	Generation int64
	Nonce      string
	For        licensing.Span
	// Document is the lease's last document, which holders send if the record may have lost the
	// lease. It has an effect only after a loss.
	Document string
	Caller   licensing.Caller
}

// A ReleaseRequest ends a lease. A holder that did not get the answer to a renewal knows only the
// previous generation; it sends the renewal's nonce to show that it is not a copy. Force ends the
// lease against the will of its holder and needs neither.
type ReleaseRequest struct {
	Lease      licensing.LeaseID
	Generation int64
	Nonce      string
	Force      bool
	Document   string // as in a renewal
	Caller     licensing.Caller
}

// Granted is the result of an acquire or a renewal. If the decision grants no unit, Lease is nil
// and Document is empty. Ticket is set while the request is queued. Reply is the signed decision,
// if the request had a nonce and there is no document.
type Granted struct {
	Decision license.Decision
	Lease    *licensing.Lease
	Document string
	Ticket   *licensing.Ticket
	Reply    string
}

// Released is the result of a release. FreeAt is in the future if the lease was ended by force,
// because its signed document remains valid.
type Released struct {
	ID     licensing.LeaseID
	FreeAt time.Time
}

// Acquire grants units or explains why not. A denial is a decision, not an error. After an error
// with code outcome_unknown, repeat the request with the same id.
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
		return licensing.Errorf(licensing.Invalid, "units must be between 1 and %[2]d, not %[1]d", q.Units, licensing.MaxUnits).At("units")
	case q.For < 0 || q.Wait < 0:
		return licensing.Errorf(licensing.Invalid, "for must not be negative").At("for")
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
		return licensing.Errorf(licensing.Invalid, "for must not be negative").At("for")
	}
	return documents.CheckNonce(r.Nonce)
}

// Renew extends a lease.
func (g *Granting) Renew(ctx context.Context, p access.Principal, r RenewalRequest) (Granted, error) {
	o, err := g.renewal(p, r)
	if err != nil {
		return Granted{}, err
	}
	return g.grant(ctx, o, r.Nonce)
}

// Release frees units. A repeated release returns the same result. Force requires a principal that
// is not a program.
func (g *Granting) Release(ctx context.Context, p access.Principal, r ReleaseRequest) (Released, error) {
	if r.Force {
		if err := request.Require(p, access.LeaseFree); err != nil {
			return Released{}, err
		}
	}
	if p.Kind != access.KindLicense && !r.Force {
		return Released{}, licensing.Errorf(licensing.Invalid, "only its holder can release a lease: use force to end it").At("force")
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

// mayRelease prevents p from ending a lease that it may not see.
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
			return licensing.Errorf(licensing.NotFound, "lease %s does not exist", l.ID)
		}
		return nil
	})
}

// A LeaseBatch is several requests that usually share a transaction. Each request has its own
// outcome.
type LeaseBatch struct {
	Acquire []AcquireRequest
	Renew   []RenewalRequest
	Release []ReleaseRequest
}

// A LeaseOutcome is the result of one request in a batch.
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

// Batch runs several requests of one program at once. It does not wait in queues.
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

// Btoi returns 1 for true and 0 for false.
func Btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Outcome sets to to the result of o. err is the error of its batch.
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

// Op returns a request by p, without the fields of its kind.
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

// A draft is a lease document that was signed while its batch was committing. It is not shown to
// anyone until the commit is durable.
type draft struct {
	lease    *licensing.Lease
	document string
	err      error
}

// grant runs o in the next transaction and signs the decision in the requester's goroutine. A batch
// therefore does not wait for signatures, and a signature does not wait for the disk.
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

// granted returns the signed result. It runs after the commit. If the batch was tried again, the
// decision is a new one, and an earlier draft is not used.
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

// measured returns the metrics label for an object of a plan. Objects that the plan does not have
// share one label, because callers can request any number of names.
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

// SignLease signs the document of the lease in an. The function that hands it out must record it.
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

// clip limits a document's dates to the last one that its key may sign.
func clip(doc *license.Lease, last int64) {
	for _, at := range []*int64{&doc.Refresh[0], &doc.Refresh[1], &doc.Stale, &doc.Due, &doc.Expires, &doc.Degraded} {
		*at = min(*at, last)
	}
}
