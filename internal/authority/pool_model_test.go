package authority

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// TestNeverOversoldWhateverHappens simulates honest programs that arrive, renew, lose answers and
// caches, wait and leave. Meanwhile administrators force, suspend, change and move their license,
// and its plan changes, in mixed transactions. Every unit in use was granted within the limit of
// its time and is counted until its end. A holder that presents its document keeps its lease.
// Nothing is kept forever.
func TestNeverOversoldWhateverHappens(t *testing.T) {
	seeds, steps := []uint64{1, 2, 3, 4, 5, 6}, 150
	if os.Getenv("COPYHOLD_TORTURE") != "" {
		for range 300 {
			seeds = append(seeds, rand.Uint64())
		}
	}
	if one, err := strconv.ParseUint(os.Getenv("COPYHOLD_SEED"), 10, 64); err == nil {
		seeds = []uint64{one}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) { openPoolModel(t, db, seed).run(steps) })
		})
	}
}

// A poolModel is the programs that use one pool of one license, and the administrators.
type poolModel struct {
	*testAuthority
	t        *testing.T
	random   *rand.Rand
	admin    access.Principal
	buyers   []licensing.CustomerID
	draft    draftPool
	programs []*program
	forced   map[licensing.LeaseID]bool
	ceiling  int64 // the most units that may be in use: the limit, or the units that were in use when it was lowered and have not been released
	last     store.Pool
	history  []string
}

// A draftPool is the pool in the plan's file, without exceptions.
type draftPool struct {
	capacity             int
	lease, grace, borrow string
	share, full          string
	overdraft, matched   bool
	gone                 bool
}

// A program is an honest instance of a holder. It uses its units while its document permits.
type program struct {
	name     string
	second   bool                    // of its holder
	ask      granting.AcquireRequest // the latest request
	parts    map[string]string
	has      *licensing.Lease // according to its latest document
	until    time.Time
	waits    licensing.TicketID
	released granting.ReleaseRequest
	older    granting.AcquireRequest
	round    int
}

func openPoolModel(t *testing.T, db *store.DB, seed uint64) *poolModel {
	t.Helper()
	w := &poolModel{testAuthority: newTestAuthority(t, db), t: t, random: rand.New(rand.NewPCG(seed, 2)), admin: access.System(testEnv, "test"), forced: map[licensing.LeaseID]bool{}}
	if _, err := w.Bootstrap(t.Context(), FirstEnvironments(), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	sell(t, w.Authority)
	for _, name := range []string{"first", "second"} {
		c, err := w.CreateCustomer(t.Context(), w.admin, licensing.Customer{Name: name, Reference: name})
		if err != nil {
			t.Fatal(err)
		}
		w.buyers = append(w.buyers, c.ID)
	}
	w.draft = draftPool{capacity: 1 + w.random.IntN(4), lease: "15m", grace: "1m", share: "none", full: "deny"}
	for range 6 {
		w.redraft()
	}
	w.draft.gone = false
	if err := w.apply("new", ""); err != nil {
		t.Fatal(err)
	}
	issued, err := w.IssueLicense(t.Context(), w.admin, v1.IssueRequest{Customer: w.buyers[0], Plan: "street"})
	if err != nil {
		t.Fatal(err)
	}
	w.p = access.Principal{Kind: access.KindLicense, Env: testEnv, License: issued.License.ID, Actor: "license:" + string(issued.License.ID)}
	for n := range 8 {
		s := strconv.Itoa(n / 2)
		w.programs = append(w.programs, &program{
			name: fmt.Sprint("program-", n), second: n%2 == 1,
			ask: granting.AcquireRequest{Pool: "unit", Instance: fmt.Sprint("instance-", n), Units: 1, Holder: request.Holder{Kind: "user", ID: "holder-" + s}},
		})
		if n%2 == 0 {
			w.programs[n].parts = map[string]string{"board": "b" + s, "disk": "d" + s, "cpu": "c" + s}
		} else {
			w.programs[n].parts = w.programs[n-1].parts
		}
	}
	_, w.ceiling = w.rule()
	w.last = w.row()
	return w
}

// redraft changes one field of the pool.
func (w *poolModel) redraft() {
	d := &w.draft
	one := func(of ...string) string { return of[w.random.IntN(len(of))] }
	switch w.random.IntN(9) {
	case 0, 1:
		d.capacity = w.random.IntN(6)
	case 2:
		d.lease = one("15m", "5m", "1h", "none")
	case 3:
		d.grace = one("0s", "1m", "1h")
	case 4:
		d.borrow = one("", "1d", "2d")
	case 5:
		d.share = one("none", "holder")
	case 6:
		d.full = one("deny", "queue", "overdraft", "fallback")
	case 7:
		d.overdraft = w.random.IntN(2) == 0
	case 8:
		switch w.random.IntN(3) {
		case 0:
			d.matched = !d.matched
		case 1:
			d.gone = true
		default:
			d.gone = false
		}
	}
}

func (d draftPool) text() string {
	if d.gone {
		return "other: {holder: user, capacity: 1, lease: 15m}"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "unit: {holder: user, capacity: %d, lease: %s, share: %s", d.capacity, d.lease, d.share)
	if d.lease != "none" {
		fmt.Fprintf(&b, ", grace: %s", d.grace)
		if d.borrow != "" {
			fmt.Fprintf(&b, ", borrow: %s", d.borrow)
		}
	}
	if d.overdraft || d.full == "overdraft" {
		b.WriteString(", overdraft: {units: 1, for: 2h}")
	}
	if d.full != "queue" || d.lease != "none" {
		fmt.Fprintf(&b, ", full: %s", d.full)
	}
	if d.matched {
		b.WriteString(", match: {need: 2, of: 3}")
	}
	return b.String() + "}"
}

func (w *poolModel) apply(who string, below licensing.Below) error {
	text := "product: lathe\nplan: street\nterm: {perpetual: true}\nfeatures: {export: true}\nfallback: {export: false}\n" +
		"documents: {life: 4h, refresh: 30m, stale: 1h, grace: 4h, fallback: 1d}\npools:\n  " + w.draft.text() + "\n"
	_, err := w.ApplyPlans(w.t.Context(), w.admin, v1.ApplyRequest{Files: []policy.File{{Name: "street.yaml", Text: text}}, Licenses: who, Below: below})
	return err
}

// rule returns the current rule of the pool, and its limit.
func (w *poolModel) rule() (licensing.Pool, int64) {
	w.t.Helper()
	var p licensing.Pool
	err := w.ledger.View(w.t.Context(), func(tx *store.Tx) error {
		k := store.LicenseRef{Env: testEnv, ID: w.p.License}
		terms, err := w.Terms(w.t.Context(), tx, []store.LicenseRef{k})
		if err == nil {
			p = terms[k].Pools["unit"]
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p, p.Limit()
}

func (w *poolModel) row() (row store.Pool) {
	w.t.Helper()
	err := w.ledger.View(w.t.Context(), func(tx *store.Tx) (err error) {
		row, err = tx.Pool(w.t.Context(), store.PoolKey{Env: testEnv, License: w.p.License, Name: "unit"})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

func (w *poolModel) chance(of int) bool { return w.random.IntN(of) == 0 }

// logf records an event, to be reported with a failure.
func (w *poolModel) logf(format string, args ...any) {
	w.history = append(w.history, w.clock.Now().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// fatalf fails and reports the events that led to the failure.
func (w *poolModel) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Logf("%s", strings.Join(w.history, "\n"))
	w.t.Fatalf(format, args...)
}

func (w *poolModel) run(steps int) {
	for range steps {
		w.step()
		if w.t.Failed() {
			return
		}
	}
	w.close()
}

// An act is one request on its way into a transaction, with a function that processes the answer.
type act struct {
	o    *granting.Op
	hear func(granting.LeaseOutcome)
}

// together decides acts in one transaction, like requests that arrive during a commit.
func (w *poolModel) together(acts ...act) {
	w.t.Helper()
	slices.SortStableFunc(acts, func(a, b act) int { return cmp.Compare(b.o.Kind.Class(), a.o.Kind.Class()) })
	ops := make([]*granting.Op, len(acts))
	for i, a := range acts {
		ops[i] = a.o
	}
	settle, err := w.Authority.Apply(ops)
	if err == nil && settle != nil {
		err = settle()
	}
	if err != nil {
		w.fatalf("a transaction of %d: %v", len(ops), err)
	}
	for i, a := range acts {
		var out granting.LeaseOutcome
		w.Outcome(ops[i], &out, nil)
		w.logf("   %s", w.told(ops[i], out))
		a.hear(out)
	}
}

func (w *poolModel) told(o *granting.Op, out granting.LeaseOutcome) string {
	name := map[granting.OpKind]string{granting.OpRelease: "release", granting.OpRenew: "renew", granting.OpTicket: "ticket", granting.OpWithdraw: "withdraw", granting.OpSweep: "sweep", granting.OpAcquire: "acquire"}[o.Kind]
	switch {
	case o.Release.Force:
		name = "force " + string(o.Release.Lease)
	case o.Kind == granting.OpRelease:
		name += fmt.Sprint(" ", o.Release.Lease, "/", o.Release.Generation)
	case o.Kind == granting.OpRenew:
		name += fmt.Sprint(" ", o.Renew.Lease, "/", o.Renew.Generation, " ", o.Renew.Nonce, " for ", int64(o.Renew.For))
	case o.Kind == granting.OpAcquire:
		name += fmt.Sprint(" ", o.Acquire.RequestID, " ", o.Acquire.Holder.ID, " ", o.Acquire.Instance, " ", o.Acquire.Units, " for ", int64(o.Acquire.For))
	}
	text := fmt.Sprint(out.Granted.Decision.Code, " ", out.Err)
	if l := out.Granted.Lease; l != nil {
		text += fmt.Sprintf(" -> %s/%d charge %d until %s due %s", l.ID, l.Generation, l.Charge, l.Expires.Format("02 15:04:05"), l.Due.Format("02 15:04:05"))
	}
	if q := out.Granted.Ticket; q != nil {
		text += fmt.Sprintf(" -> ticket %s", q.ID)
	}
	return name + ": " + text
}

func (w *poolModel) step() {
	switch k := w.random.IntN(100); {
	case k < 60:
		var acts []act
		for _, n := range w.random.Perm(len(w.programs))[:1+w.random.IntN(3)*w.random.IntN(2)] {
			acts = append(acts, w.acts(w.programs[n])...)
		}
		if w.chance(12) {
			acts = append(acts, w.force()...)
		}
		if w.chance(12) {
			acts = append(acts, act{&granting.Op{Kind: granting.OpSweep, Env: testEnv, License: w.p.License, Actor: ledger.SystemActor, Pool: w.last.PoolKey}, func(granting.LeaseOutcome) {}})
		}
		if len(acts) > 0 {
			w.together(acts...)
		}
		w.check(false)
	case k < 75:
		span := []time.Duration{time.Second, 35 * time.Second, 5 * time.Minute, 20 * time.Minute, 3 * time.Hour, 50 * time.Hour}[min(w.random.IntN(7), w.random.IntN(7), 5)]
		d := time.Duration(w.random.Int64N(int64(span))) + time.Second
		w.logf("pass %v", d)
		w.clock.pass(d)
	case k < 82:
		w.logf("sweep")
		due := !w.last.Due.IsZero() && !w.last.Due.After(w.clock.Now())
		if err := w.Sweep(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.check(false)
		if due {
			w.queueMoved()
		}
	case k < 86:
		if acts := w.force(); len(acts) > 0 {
			w.together(acts...)
		}
		w.check(false)
	case k < 97:
		w.administer()
		w.check(true)
	default:
		w.logf("restart")
		w.testAuthority.Close()
		p := w.p
		w.testAuthority = w.testAuthority.again(w.t, "")
		w.p = p
		w.check(false)
	}
}

// force ends a lease against the will of its holder, which continues while its document permits.
func (w *poolModel) force() []act {
	h := w.programs[w.random.IntN(len(w.programs))]
	if h.has == nil {
		return nil
	}
	id := h.has.ID
	o := w.Op(w.admin, granting.OpRelease, licensing.Caller{})
	o.License = w.p.License
	o.Release = granting.ReleaseRequest{Lease: id, Force: true}
	return []act{{o, func(out granting.LeaseOutcome) {
		if out.Err != nil && licensing.CodeOf(out.Err) != licensing.NotFound {
			w.fatalf("forcing %s: %v", id, out.Err)
		}
		w.forced[id] = true
	}}}
}

func (w *poolModel) below() licensing.Below {
	return []licensing.Below{licensing.BelowRefuse, licensing.BelowDrain, licensing.BelowOverdraft}[w.random.IntN(3)]
}

func (w *poolModel) administer() {
	var err error
	ctx, id := w.t.Context(), w.p.License
	before := w.row().Held
	_, limit := w.rule()
	switch k := w.random.IntN(20); {
	case k < 7:
		req := v1.ChangeRequest{Capacity: map[string]int64{"unit": w.random.Int64N(7)}}
		req.Below = w.below()
		_, err = w.ChangeLicense(ctx, w.admin, id, req)
		w.logf("capacity %v %s: %v", req.Capacity, req.Below, err)
		if now, _ := w.rule(); err == nil && req.Below == licensing.BelowRefuse && now.Capacity < limit && w.row().Held > max(now.Capacity, before) {
			w.t.Errorf("refuse allowed %d units in use of %d", w.row().Held, now.Capacity)
		}
	case k < 16:
		if w.draft.gone || w.chance(3) {
			w.unexcept()
		}
		was := w.draft
		for range 1 + w.random.IntN(3) {
			w.redraft()
		}
		below := w.below()
		err = w.apply("all", below)
		w.logf("plan %s %s: %v", w.draft.text(), below, err)
		if err != nil {
			w.draft = was
		}
	case k < 18:
		if _, err = w.SuspendLicense(ctx, w.admin, id, "unpaid"); err == nil {
			w.logf("suspended")
		} else if _, err = w.ReinstateLicense(ctx, w.admin, id, "paid"); err == nil {
			w.logf("reinstated")
		}
	case k < 19:
		_, err = w.ReinstateLicense(ctx, w.admin, id, "paid")
		w.logf("reinstate: %v", err)
	default:
		_, err = w.TransferLicense(ctx, w.admin, id, v1.TransferRequest{Customer: w.buyers[w.random.IntN(2)]})
		w.logf("transfer: %v", err)
	}
	if err != nil && licensing.CodeOf(err) != licensing.Conflict {
		w.t.Fatal(err)
	}
}

// unexcept removes all exceptions from the license.
func (w *poolModel) unexcept() {
	l, err := w.License(w.t.Context(), w.admin, w.p.License)
	if err != nil {
		w.t.Fatal(err)
	}
	req := v1.ChangeRequest{}
	req.Below = licensing.BelowDrain
	for _, e := range l.Exceptions {
		req.RemoveExceptions = append(req.RemoveExceptions, e.ID)
	}
	if len(req.RemoveExceptions) == 0 {
		return
	}
	if _, err = w.ChangeLicense(w.t.Context(), w.admin, w.p.License, req); err != nil && licensing.CodeOf(err) != licensing.Conflict {
		w.t.Fatal(err)
	}
	w.logf("no exceptions: %v", err)
}

// acts returns the next requests of h: none, one or several. In a pool without end, a holder has
// one lease, which its first program requests.
func (w *poolModel) acts(h *program) []act {
	acts := w.wishes(h)
	if rule, _ := w.rule(); rule.Endless() && h.second {
		acts = slices.DeleteFunc(acts, func(a act) bool { return a.o.Kind == granting.OpAcquire })
	}
	return acts
}

func (w *poolModel) wishes(h *program) []act {
	now := w.clock.Now()
	if h.has != nil && w.chance(25) {
		w.logf("%s loses its cache", h.name)
		h.has, h.until = nil, time.Time{}
	}
	if h.waits != "" && w.chance(15) {
		w.logf("%s gives up waiting", h.name)
		h.waits = ""
	}
	switch {
	case h.waits != "":
		switch w.random.IntN(6) {
		case 0:
			return []act{w.look(h, granting.OpTicket)}
		case 1:
			return []act{w.look(h, granting.OpWithdraw)}
		}
		return []act{w.acquire(h, h.ask)}
	case h.has != nil && !now.Before(h.until): // it may ask whether it still has the lease
		if w.chance(2) {
			return []act{w.renew(h, w.nonce(h), 0, true)}
		}
		h.has = nil
		return []act{w.enter(h)}
	case h.has != nil:
		switch w.random.IntN(12) {
		case 0, 1, 2:
			return []act{w.release(h)}
		case 3:
			r := w.release(h)
			return []act{r, w.again(r), w.enter(h)}
		case 4:
			n := w.nonce(h)
			return []act{w.renew(h, n, 0, false), w.renew(h, n, 0, true)}
		case 5: // the answer and the cache are lost, so it starts over
			units := h.has.Units
			first := w.renew(h, w.nonce(h), 0, false)
			h.has = nil
			return []act{first, w.enterFor(h, units)}
		case 6:
			r := w.renew(h, w.nonce(h), 0, false)
			r.hear = func(granting.LeaseOutcome) {} // forgotten, or kept by a later release
			return []act{w.release(h), r}
		case 7:
			return []act{w.renew(h, w.nonce(h), w.span(), true)}
		case 8: // the answer to a renewal is lost, and it releases
			nonce := w.nonce(h)
			w.together(w.renew(h, nonce, 0, false))
			return []act{w.releaseWith(h, nonce)}
		}
		return []act{w.renew(h, w.nonce(h), 0, true)}
	case h.released.Lease != "" && w.chance(4):
		return []act{w.repeatRelease(h)}
	case h.older.RequestID != "" && w.chance(10):
		return []act{w.acquire(h, h.older)}
	case w.chance(8):
		a := w.enter(h)
		b := w.acquire(h, h.ask)
		return []act{a, b}
	}
	return []act{w.enter(h)}
}

func (w *poolModel) nonce(h *program) string {
	h.round++
	return fmt.Sprintf("nonce-of-%s-%d", h.name, h.round)
}

// span returns how long a program asks to borrow.
func (w *poolModel) span() licensing.Span {
	return []licensing.Span{0, 60, 600, 86400, 2 * 86400, 30 * 86400}[w.random.IntN(6)]
}

// enter requests units with a new request id.
func (w *poolModel) enter(h *program) act {
	return w.enterFor(h, []int64{1, 1, 1, 2, 3}[w.random.IntN(5)])
}

func (w *poolModel) enterFor(h *program, units int64) act {
	h.round++
	if h.ask.RequestID != "" {
		h.older = h.ask
	}
	q := h.ask
	q.RequestID = fmt.Sprint(h.name, "-request-", h.round)
	q.Nonce = w.nonce(h)
	q.Units = units
	if q.For = 0; w.chance(4) {
		q.For = w.span()
	}
	if w.chance(10) { // a part of the machine is replaced
		part := []string{"board", "disk", "cpu"}[w.random.IntN(3)]
		h.parts[part] += "+"
	}
	q.Holder.Components = maps.Clone(h.parts)
	h.ask = q
	return w.acquire(h, q)
}

// acquire requests units.
func (w *poolModel) acquire(h *program, q granting.AcquireRequest) act {
	o := w.Op(w.p, granting.OpAcquire, licensing.Caller{})
	o.Acquire = q
	return act{o, func(out granting.LeaseOutcome) {
		g := out.Granted
		if slices.Contains([]string{license.CodePoolFull, license.CodeQueued, license.CodeQueueFull, license.CodeFallback}, g.Decision.Code) {
			w.mayShare(q)
		}
		switch code := licensing.CodeOf(out.Err); {
		case code == licensing.Gone, code == licensing.Conflict:
			h.waits = ""
		case out.Err != nil:
			w.fatalf("%s asks for %d: %v", h.name, q.Units, out.Err)
		case g.Ticket != nil && h.ask.RequestID == q.RequestID:
			h.waits = g.Ticket.ID
		case g.Ticket != nil:
		case g.Lease != nil:
			h.waits, h.ask = "", q
			w.take(h, g)
		case g.Decision.Code == license.CodeClone:
			w.fatalf("%s is called a clone: %+v", h.name, g.Decision)
		default:
			h.waits = ""
		}
	}}
}

func (w *poolModel) look(h *program, kind granting.OpKind) act {
	o := w.Op(w.p, kind, licensing.Caller{})
	o.Ticket = h.waits
	return act{o, func(granting.LeaseOutcome) {
		if o.Answer.Err != nil {
			w.fatalf("%s asks after its place %s: %v", h.name, o.Ticket, o.Answer.Err)
		}
		if !o.Answer.Queued.Live() {
			h.waits = ""
		}
	}}
}

// take records the grant of h, according to its document.
func (w *poolModel) take(h *program, g granting.Granted) {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(g.Document, ".")[1])
	var doc license.Lease
	if err == nil {
		err = license.Unmarshal(payload, &doc)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	l, end, now := *g.Lease, time.Unix(doc.Expires, 0), w.clock.Now()
	rule, _ := w.rule()
	longest := max(rule.Lease, rule.Borrow) + rule.Grace
	if rule.Endless() {
		longest = 8 * 3600
	}
	switch {
	case end.After(now.Add(longest.Duration())):
		w.t.Errorf("%s has %s for %v, and the longest is %v", h.name, l.ID, end.Sub(now), longest)
	case end.After(l.Expires) || !l.Due.IsZero() && l.Due.Before(l.Expires.Add(w.ledger.Skew)):
		w.t.Errorf("%s has %s by its document until %v, ends %v, due %v", h.name, l.ID, end, l.Expires, l.Due)
	case doc.Generation != l.Generation || doc.Units != l.Units:
		w.t.Errorf("%s: document %+v of lease %+v", h.name, doc, l)
	}
	if h.has == nil || h.has.ID != l.ID {
		h.until = time.Time{}
	}
	h.has = &l
	if end.After(h.until) {
		h.until = end
	}
}

// renew renews the lease of h. If the answer is not processed, it is lost.
func (w *poolModel) renew(h *program, nonce string, asked licensing.Span, heard bool) act {
	o := w.Op(w.p, granting.OpRenew, licensing.Caller{})
	o.Renew = granting.RenewalRequest{Lease: h.has.ID, Generation: h.has.Generation, Nonce: nonce, For: asked}
	until := h.until
	return act{o, func(out granting.LeaseOutcome) {
		if out.Err == nil && out.Granted.Decision.Outcome == license.Allowed {
			if heard && h.has != nil {
				w.take(h, out.Granted)
			}
			return
		}
		now, code := w.clock.Now(), out.Granted.Decision.Code
		switch {
		case out.Err == nil && slices.Contains([]string{license.CodeSuspended, license.CodeRevoked, license.CodeNoSuchPool}, code):
		case asked > 0 && code == license.CodeBorrowTooLong:
		case licensing.CodeOf(out.Err) == licensing.Gone && (w.forced[o.Renew.Lease] || !now.Before(until)):
			if !now.Before(until) {
				h.has = nil
			}
		case licensing.CodeOf(out.Err) == licensing.NotFound && !now.Before(until):
			h.has = nil
		default:
			w.fatalf("%s shows %s/%d in force until %v at %v, and is told %+v, %v", h.name, o.Renew.Lease, o.Renew.Generation, until, now, out.Granted.Decision, out.Err)
		}
	}}
}

// release releases the lease of h.
func (w *poolModel) release(h *program) act { return w.releaseWith(h, "") }

func (w *poolModel) releaseWith(h *program, nonce string) act {
	o := w.Op(w.p, granting.OpRelease, licensing.Caller{})
	o.Release = granting.ReleaseRequest{Lease: h.has.ID, Generation: h.has.Generation, Nonce: nonce}
	h.released, h.has, h.until = o.Release, nil, time.Time{}
	return act{o, func(out granting.LeaseOutcome) {
		if out.Err != nil {
			w.fatalf("%s releases %s/%d: %v", h.name, o.Release.Lease, o.Release.Generation, out.Err)
		}
	}}
}

// again returns act a to be sent once more.
func (w *poolModel) again(a act) act {
	o := *a.o
	return act{&o, func(out granting.LeaseOutcome) {
		if out.Err != nil {
			w.fatalf("again: %v", out.Err)
		}
	}}
}

// repeatRelease sends h's last release again.
func (w *poolModel) repeatRelease(h *program) act {
	o := w.Op(w.p, granting.OpRelease, licensing.Caller{})
	o.Release = h.released
	return act{o, func(out granting.LeaseOutcome) {
		if c := licensing.CodeOf(out.Err); out.Err != nil && c != licensing.NotFound && c != licensing.Conflict {
			w.fatalf("%s releases %s again: %v", h.name, o.Release.Lease, out.Err)
		}
	}}
}

// The poolRows are all rows of the pool.
type poolRows struct {
	row     store.Pool
	leases  []*licensing.Lease
	tickets []*licensing.Ticket
}

func (w *poolModel) state() (s poolRows) {
	w.t.Helper()
	err := w.ledger.View(w.t.Context(), func(tx *store.Tx) (err error) {
		k := store.PoolKey{Env: testEnv, License: w.p.License, Name: "unit"}
		if s.row, err = tx.Pool(w.t.Context(), k); err != nil {
			return err
		}
		if s.leases, err = tx.ListLeases(w.t.Context(), store.LeaseFilter{Env: testEnv, License: w.p.License, Pool: "unit", Ended: true, Limit: 100_000}); err != nil {
			return err
		}
		s.tickets, err = tx.Queue(w.t.Context(), k, 0, 100_000)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// check compares the units in use with the counters, and the grants with the limit. changed means
// that the license may have changed.
func (w *poolModel) check(changed bool) {
	w.t.Helper()
	now, s := w.clock.Now(), w.state()
	rule, limit := w.rule()
	var counted, live, waiting int64
	seen := map[string]bool{}
	var earliest time.Time
	due := func(at time.Time) {
		if !at.IsZero() && (earliest.IsZero() || at.Before(earliest)) {
			earliest = at
		}
	}
	for _, l := range s.leases {
		if l.Charge < 0 || l.Charge != 0 && l.Charge != l.Units {
			w.t.Errorf("%s is charged with %d", l.ID, l.Charge)
		}
		due(l.Due)
		if l.Live() || l.EndedBy == licensing.EndForced {
			counted += l.Charge
		}
		if !l.Live() {
			continue
		}
		live++
		if who := l.Holder + "/" + l.Instance; seen[who] {
			w.t.Errorf("two leases of %s", who)
		} else {
			seen[who] = true
		}
	}
	offered := int64(0)
	for _, t := range s.tickets {
		if t.Offered.IsZero() {
			waiting++
			if waiting == 1 {
				due(t.Alive)
				due(t.Deadline)
			}
			continue
		}
		due(t.Offered)
		offered += t.Units
	}
	if s.row.Held != counted+offered || s.row.Leases != live || s.row.Waiting != waiting {
		w.t.Errorf("the pool counts %d held, %d leases, %d waiting; there are %d and %d offered, %d, %d", s.row.Held, s.row.Leases, s.row.Waiting, counted, offered, live, waiting)
	}
	if !earliest.IsZero() && (s.row.Due.IsZero() || s.row.Due.After(earliest) && s.row.Due.After(now)) {
		w.t.Errorf("the pool is due at %v, and something in it at %v", s.row.Due, earliest)
	}
	if s.row.Held > w.last.Held && !changed && s.row.Held > limit {
		w.t.Errorf("%d held after %d, of %d", s.row.Held, w.last.Held, limit)
	}
	if over := s.row.OverSince; !changed && s.row.Held > w.last.Held && s.row.Held > rule.Capacity && rule.Overdraft.For > 0 && !now.Before(over.Add(rule.Overdraft.For.Duration())) {
		w.t.Errorf("%d held after %d, of %d, by an overdraft that began %v ago", s.row.Held, w.last.Held, rule.Capacity, now.Sub(over))
	}
	for _, h := range w.programs {
		if h.has != nil && now.Before(h.until) {
			w.counted(h, rule, s)
		}
	}
	used := w.inUse(rule)
	if changed {
		w.ceiling = max(limit, s.row.Held)
	}
	if used > w.ceiling {
		w.t.Errorf("%d units are in use of %d", used, w.ceiling)
	}
	w.ceiling = max(limit, min(w.ceiling, s.row.Held))
	w.last = s.row
	if w.t.Failed() {
		w.dump(rule, s)
		w.t.FailNow()
	}
}

// queueMoved fails if the next waiter could have been served, or can never be served.
func (w *poolModel) queueMoved() {
	w.t.Helper()
	rule, limit := w.rule()
	s := w.state()
	for _, t := range s.tickets {
		if !t.Offered.IsZero() {
			continue
		}
		if t.Units > limit || rule.Fits(s.row.Stock, t.Units, w.clock.Now()) {
			w.fatalf("%s waits for %d units of %d, and %d are held", t.Holder, t.Units, limit, s.row.Held)
		}
		return
	}
}

// mayShare fails if q was denied although another instance of its holder has the same units.
func (w *poolModel) mayShare(q granting.AcquireRequest) {
	w.t.Helper()
	if rule, _ := w.rule(); !w.shares(rule) {
		return
	}
	for _, l := range w.state().leases {
		if l.Live() && l.Holder == q.Holder.ID && l.Units == q.Units && l.Granted.Before(w.clock.Now()) {
			w.fatalf("%s of %s has to wait beside %s", q.Instance, l.Holder, l.ID)
		}
	}
}

// shares reports whether the programs of one holder use the same units.
func (w *poolModel) shares(rule licensing.Pool) bool {
	return rule.Share == licensing.ShareHolder && !rule.Endless()
}

// inUse adds up the units that programs use. Shared units count once.
func (w *poolModel) inUse(rule licensing.Pool) (used int64) {
	sharing := map[string]bool{}
	for _, h := range w.programs {
		if h.has == nil || !w.clock.Now().Before(h.until) {
			continue
		}
		who := fmt.Sprint(h.ask.Holder.ID, "/", h.has.Units)
		if rule.Endless() { // one cache
			who = string(h.has.ID)
		}
		if !sharing[who] {
			used += h.has.Units
		}
		sharing[who] = w.shares(rule) || rule.Endless()
	}
	return used
}

// counted fails unless the units of h are counted.
func (w *poolModel) counted(h *program, rule licensing.Pool, s poolRows) {
	w.t.Helper()
	for _, l := range s.leases {
		mine := l.ID == h.has.ID
		if mine && !l.MayUse(w.clock.Now(), w.ledger.Skew) {
			w.t.Errorf("%s uses %s, which ended at %v by %s", h.name, l.ID, l.Ended, l.EndedBy)
		}
		if mine && !l.Due.IsZero() && l.Due.Before(h.until.Add(w.ledger.Skew)) {
			w.t.Errorf("%s uses %s until %v, which is due at %v", h.name, l.ID, h.until, l.Due)
		}
		if l.Charge > 0 && (l.Live() || l.EndedBy == licensing.EndForced) && (mine || w.shares(rule) && l.Holder == h.has.Holder && l.Units == h.has.Units) {
			return
		}
	}
	w.t.Errorf("%s uses %s, which is not counted", h.name, h.has.ID)
}

// dump reports the state and the events that led to it.
func (w *poolModel) dump(rule licensing.Pool, s poolRows) {
	w.t.Logf("%s", strings.Join(w.history, "\n"))
	w.t.Logf("at %v, rule %+v", w.clock.Now(), rule)
	w.t.Logf("row %+v", s.row)
	for _, l := range s.leases {
		w.t.Logf("lease %s %s/%s units %d charge %d gen %d expires %v due %v ended %v %s", l.ID, l.Holder, l.Instance, l.Units, l.Charge, l.Generation, l.Expires, l.Due, l.Ended, l.EndedBy)
	}
	for _, t := range s.tickets {
		w.t.Logf("ticket %+v", *t)
	}
	for _, h := range w.programs {
		if h.has != nil {
			w.t.Logf("%s has %s/%d until %v", h.name, h.has.ID, h.has.Generation, h.until)
		}
	}
}

// close makes all programs leave, voluntarily or not, and checks what remains.
func (w *poolModel) close() {
	w.t.Helper()
	ctx := w.t.Context()
	if w.chance(3) {
		if _, err := w.RevokeLicense(ctx, w.admin, w.p.License, v1.RevokeRequest{Reason: "closing"}); err != nil {
			w.t.Fatal(err)
		}
		w.logf("revoked")
	}
	for _, h := range w.programs {
		if h.has != nil && w.clock.Now().Before(h.until) && w.chance(2) {
			w.together(w.release(h))
			w.check(false)
		}
	}
	rule, _ := w.rule()
	for _, l := range w.state().leases {
		if !l.Live() || !l.Due.IsZero() {
			continue
		}
		if !rule.Endless() || l.Instance != "" {
			w.t.Errorf("%s of %s/%s has no end and cannot be found again", l.ID, l.Holder, l.Instance)
		}
		if _, err := w.Release(ctx, w.admin, granting.ReleaseRequest{Lease: l.ID, Force: true}); err != nil {
			w.t.Fatal(err)
		}
	}
	for range 4 {
		w.clock.pass(24 * time.Hour)
		if err := w.Sweep(ctx); err != nil {
			w.t.Fatal(err)
		}
		w.check(false)
	}
	s := w.state()
	if s.row.Held != 0 || s.row.Leases != 0 || s.row.Waiting != 0 || !s.row.OverSince.IsZero() || !s.row.Due.IsZero() || len(s.leases)+len(s.tickets) != 0 {
		w.t.Errorf("after all have left: %+v, %d leases, %d tickets", s.row, len(s.leases), len(s.tickets))
		w.dump(rule, s)
	}
	for _, m := range reconciled(w.t, w.testAuthority).Mismatches {
		if !strings.Contains(m.What, "no entry issues") { // the authority's own license has no entry
			w.t.Errorf("the rows and the log: %+v", m)
		}
	}
}
