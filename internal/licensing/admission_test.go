package licensing

import (
	"fmt"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

var admitNow = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// askTerms are terms with one pool, changed by change.
func askTerms(change func(*Pool)) *Terms {
	p := Pool{Holder: "user", Capacity: 2, Lease: 900, Grace: 60, Full: FullDeny, Share: ShareNone}
	change(&p)
	return &Terms{License: "lic_1", Product: "lathe", Plan: "team", Start: admitNow.Add(-time.Hour), Documents: DefaultDocuments(), Pools: map[string]Pool{"seats": p}, Seq: license.Seq{Epoch: 1}}
}

// heldLease is a live lease of ann's first instance.
func heldLease(change func(*Lease)) *Lease {
	l := &Lease{
		ID: "lse_1", License: "lic_1", Pool: "seats", Holder: "ann", Instance: "one", Units: 1, Charge: 1, Generation: 1,
		Granted: admitNow.Add(-time.Minute), Renewed: admitNow.Add(-time.Minute), Expires: admitNow.Add(time.Minute), Due: admitNow.Add(2 * time.Minute),
	}
	change(l)
	return l
}

func TestAdmit(t *testing.T) {
	none := func(*Pool) {}
	shared := func(p *Pool) { p.Share = ShareHolder }
	machines := func(p *Pool) { p.Holder, p.Lease, p.Grace, p.Match = HolderMachine, 0, 0, Match{2, 3} }
	queue := func(p *Pool) { p.Full = FullQueue }
	as := func(*Lease) {}
	ended := func(l *Lease) { l.Ended, l.EndedBy = admitNow, EndReleased }
	overdue := func(l *Lease) { l.Due = admitNow.Add(-time.Second) }
	disk := map[string]string{"disk": "a", "board": "b", "cpu": "c"}
	onDisk := func(l *Lease) { l.Instance, l.Holder, l.Asker.Components = "", "old-name", disk }
	settled := PoolState{Settled: true}
	full := PoolState{Stock: Stock{Held: 2, Leases: 2}, Settled: true}
	over := PoolState{Stock: Stock{Held: 3, Leases: 3}}
	fence := Fence{Since: admitNow.Add(-time.Second), Epoch: 2, Ending: true, Plans: map[PlanName]map[string]Span{"team": {"seats": 900}}}
	fenced := PoolState{Settled: true, Fence: fence}
	earlier := func(l *Lease) Known { return Known{Earlier: &Earlier{Body: 7, Lease: l}, Lease: l, Looked: true} }
	waits := func(change func(*Ticket)) Known {
		ticket := &Ticket{ID: "tkt_1", Pool: "seats", Units: 1, Deadline: admitNow.Add(time.Hour), Alive: admitNow.Add(time.Minute)}
		change(ticket)
		return Known{Earlier: &Earlier{Body: 7, Ticket: ticket}, Looked: true}
	}
	offered := func(t *Ticket) { t.Offered = admitNow.Add(time.Minute) }
	for name, c := range map[string]struct {
		rule  func(*Pool)
		state PoolState
		known Known
		ask   func(*Ask)
		step  Step
		code  string // of the decision, or of the error
	}{
		"a free unit":                                 {none, settled, Known{}, nil, StepGrant, license.CodeOK},
		"a unit before all is settled":                {none, PoolState{}, Known{}, nil, StepGrant, license.CodeOK},
		"a full pool in which much is due":            {none, PoolState{Stock: full.Stock}, Known{}, nil, StepSettle, ""},
		"a full pool":                                 {none, full, Known{}, nil, StepDeny, license.CodePoolFull},
		"a full pool with a queue":                    {queue, full, Known{}, nil, StepQueue, license.CodeQueued},
		"a full pool with a fallback":                 {func(p *Pool) { p.Full = FullFallback }, full, Known{}, nil, StepDeny, license.CodeFallback},
		"a full pool with an overdraft":               {func(p *Pool) { p.Overdraft.Units = 1 }, full, Known{}, nil, StepGrant, license.CodeOverdraft},
		"too many units":                              {none, full, Known{}, func(a *Ask) { a.Units = 3 }, StepDeny, license.CodeTooManyUnits},
		"another pool":                                {none, settled, Known{}, func(a *Ask) { a.Pool = "chairs" }, StepDeny, license.CodeNoSuchPool},
		"too long a time":                             {none, settled, Known{}, func(a *Ask) { a.For = 901 }, StepDeny, license.CodeBorrowTooLong},
		"what is held":                                {none, full, Known{Lease: heldLease(as)}, nil, StepResume, license.CodeOK},
		"what has ended":                              {none, settled, Known{Lease: heldLease(ended)}, nil, StepGrant, license.CodeOK},
		"another number of units":                     {none, full, Known{Lease: heldLease(as)}, func(a *Ask) { a.Units = 2 }, StepRefuse, string(Conflict)},
		"what is due in a pool that is over":          {none, over, Known{Lease: heldLease(overdue)}, nil, StepSettle, ""},
		"what is due in a pool with room":             {none, full, Known{Lease: heldLease(overdue)}, nil, StepResume, license.CodeOK},
		"what was recalled":                           {none, full, Known{Lease: heldLease(recalledLease)}, nil, StepDeny, license.CodeRecalled},
		"the same request":                            {none, full, earlier(heldLease(as)), nil, StepRepeat, license.CodeOK},
		"the same request for a lease that has ended": {none, full, earlier(heldLease(ended)), nil, StepRefuse, string(Gone)},
		"the same request for a recalled lease":       {none, full, earlier(heldLease(recalledLease)), nil, StepDeny, license.CodeRecalled},
		"the same request for something else":         {none, full, earlier(heldLease(as)), func(a *Ask) { a.Body = 8 }, StepRefuse, string(IdempotencyMismatch)},
		"the same request for what is forgotten":      {none, settled, Known{Earlier: &Earlier{Body: 7}}, nil, StepGrant, license.CodeOK},
		"a place in the queue":                        {queue, full, waits(func(*Ticket) {}), nil, StepWait, license.CodeQueued},
		"an offer":                                    {queue, full, waits(offered), nil, StepClaim, license.CodeOK},
		"an offer behind a fence":                     {queue, fenced, waits(offered), nil, StepRefuse, string(Unavailable)},
		"a place that was lost":                       {queue, full, waits(func(t *Ticket) { t.Alive = admitNow }), nil, StepLeave, ""},
		"a place that has ended":                      {queue, settled, waits(func(t *Ticket) { t.Ended = admitNow }), nil, StepGrant, license.CodeOK},
		"a place beside a lease": {queue, full, func() Known {
			k := waits(offered)
			k.Lease = heldLease(as)
			return k
		}(), nil, StepLeave, ""},
		"another instance that nobody looked for": {shared, full, Known{}, nil, StepLook, ""},
		"another instance": {shared, full, Known{Looked: true, Others: []*Lease{heldLease(func(l *Lease) { l.Instance = "two" })}},
			nil, StepShare, license.CodeOK},
		"another instance with other units": {shared, full, Known{Looked: true, Others: []*Lease{heldLease(func(l *Lease) { l.Instance, l.Units = "two", 2 })}},
			nil, StepDeny, license.CodePoolFull},
		"another instance that is due": {shared, over, Known{Looked: true, Others: []*Lease{heldLease(overdue)}}, nil, StepSettle, ""},
		"a machine without components": {machines, settled, Known{Looked: true}, nil, StepDeny, license.CodeBindingMismatch},
		"a machine by another name": {machines, full, Known{Looked: true, Alike: []*Lease{heldLease(onDisk)}}, func(a *Ask) { a.Instance, a.Components = "", disk },
			StepResume, license.CodeOK},
		"another machine by the same name": {machines, full, Known{Lease: heldLease(onDisk)},
			func(a *Ask) { a.Instance, a.Components = "", map[string]string{"disk": "a", "board": "x", "cpu": "y"} }, StepDeny, license.CodeBindingMismatch},
		"a machine that had the trial": {machines, settled, Known{Looked: true, TrialHad: true}, func(a *Ask) { a.Components = disk }, StepDeny, license.CodeTrialUsed},
		"a newcomer behind a fence":    {none, fenced, Known{}, nil, StepRefuse, string(Unavailable)},
		"what may have been lost":      {none, fenced, Known{Lease: heldLease(as)}, nil, StepRefuse, string(Unavailable)},
		"what was renewed since":       {none, fenced, Known{Lease: heldLease(func(l *Lease) { l.Renewed = admitNow })}, nil, StepResume, license.CodeOK},
		"a question about a machine":   {machines, settled, Known{Looked: true}, func(a *Ask) { a.Request, a.Holder = "", "" }, StepGrant, license.CodeOK},
	} {
		t.Run(name, func(t *testing.T) {
			a := Ask{Request: "req-1", Body: 7, Pool: "seats", Holder: "ann", Instance: "one", Units: 1}
			if c.ask != nil {
				c.ask(&a)
			}
			v := Admit(askTerms(c.rule), c.state, c.known, a, admitNow)
			code := v.Decision.Code
			if v.Err != nil {
				code = string(CodeOf(v.Err))
			}
			if v.Step != c.step || code != c.code {
				t.Errorf("step %d with %q (%v, %+v), want %d with %q", v.Step, code, v.Err, v.Decision, c.step, c.code)
			}
		})
	}
}

func recalledLease(l *Lease) { l.Asker.Recall = &Recall{At: admitNow, Until: admitNow} }

// A simulation is a pool in memory that follows the verdicts of Admit.
type simulation struct {
	terms    *Terms
	rule     Pool
	stock    Stock
	now      time.Time
	leases   []*Lease
	tickets  []*Ticket
	requests map[string]*Earlier
}

const simulatedSkew = time.Minute

// ask follows the verdicts of Admit until one is a decision.
func (w *simulation) ask(t *rapid.T, a Ask) Verdict {
	k := w.known(a)
	settled := false
	for range 5 {
		before := fmt.Sprint(w.stock, w.leases, k.Earlier)
		v := Admit(w.terms, PoolState{Stock: w.stock, Settled: settled, Skew: simulatedSkew}, k, a, w.now)
		if again := Admit(w.terms, PoolState{Stock: w.stock, Settled: settled, Skew: simulatedSkew}, k, a, w.now); !reflect.DeepEqual(v, again) || before != fmt.Sprint(w.stock, w.leases, k.Earlier) {
			t.Fatalf("%+v is %+v, then %+v", a, v, again)
		}
		switch v.Step {
		case StepLook:
			k.Looked = true
			for _, l := range w.leases {
				if l.Holder == a.Holder && l.Live() {
					k.Others = append(k.Others, l)
				}
			}
		case StepSettle:
			settled = true
			w.settle()
		case StepLeave:
			k.Earlier, settled = nil, false
			w.leave(v.Ticket, v.Ending)
		default:
			w.carryOut(a, v)
			return v
		}
	}
	t.Fatalf("%+v is not decided", a)
	return Verdict{}
}

func (w *simulation) known(a Ask) Known {
	k := Known{Earlier: w.requests[a.Request]}
	for _, l := range w.leases {
		if l.Holder == a.Holder && l.Instance == a.Instance && l.Live() {
			k.Lease = l
		}
	}
	return k
}

func (w *simulation) carryOut(a Ask, v Verdict) {
	begin := func(charge int64) {
		d := w.terms.LeaseDates(w.rule, a.For, w.now)
		l := &Lease{ID: LeaseID(fmt.Sprint("lse_", len(w.leases))), Pool: a.Pool, Holder: a.Holder, Instance: a.Instance, Units: a.Units, Charge: charge, Expires: d.Expires, Due: d.Due(simulatedSkew)}
		w.leases, w.stock = append(w.leases, l), w.rule.With(w.stock, charge, w.now)
		w.requests[a.Request] = &Earlier{Body: a.Body, Lease: l}
	}
	switch v.Step {
	case StepGrant:
		begin(a.Units)
	case StepShare:
		begin(0)
	case StepClaim:
		w.stock.Held -= v.Ticket.Units
		begin(a.Units)
		v.Ticket.Ended = w.now
	case StepResume, StepRepeat:
		d := w.terms.LeaseDates(w.rule, a.For, w.now)
		v.Lease.Expires, v.Lease.Due = later(v.Lease.Expires, d.Expires), later(v.Lease.Due, d.Due(simulatedSkew))
	case StepWait:
		v.Ticket.Alive = w.now.Add(TicketLasts)
	case StepQueue:
		ticket := &Ticket{ID: TicketID(fmt.Sprint("tkt_", len(w.tickets))), Pool: a.Pool, Holder: a.Holder, Units: a.Units, Deadline: w.rule.Patience(w.now), Alive: w.now.Add(TicketLasts)}
		w.tickets, w.stock.Waiting = append(w.tickets, ticket), w.stock.Waiting+1
		w.requests[a.Request] = &Earlier{Body: a.Body, Ticket: ticket}
	}
}

// end frees the units charged to l unless another instance takes them over.
func (w *simulation) end(l *Lease, how Ending) {
	l.Ended, l.EndedBy = w.now, how
	for _, other := range w.leases {
		if l.Charge > 0 && w.rule.Shares() && other.Holder == l.Holder && other.Live() && other.Units == l.Units && other.Charge == 0 {
			other.Charge, l.Charge = l.Charge, 0
		}
	}
	w.stock = w.rule.With(w.stock, -l.Charge, w.now)
	l.Charge = 0
}

func (w *simulation) leave(t *Ticket, how TicketEnding) {
	if t.Offered.IsZero() {
		w.stock.Waiting--
	} else {
		w.stock = w.rule.With(w.stock, -t.Units, w.now)
	}
	t.Ended, t.EndedBy = w.now, how
}

func (w *simulation) settle() {
	for _, l := range w.leases {
		if l.Live() && !w.now.Before(l.Due) {
			w.end(l, EndReclaimed)
		}
	}
	closed := false
	for _, t := range w.tickets {
		if !t.Live() {
			continue
		}
		switch ending, offer := w.rule.Turn(w.stock, *t, closed, w.now); {
		case ending != "":
			w.leave(t, ending)
		case offer:
			t.Offered = w.now.Add(OfferLasts)
			w.stock.Waiting--
			w.stock = w.rule.With(w.stock, t.Units, w.now)
		case t.Offered.IsZero():
			closed = true
		}
	}
}

// check fails if units are used twice, or if an instance has two leases.
func (w *simulation) check(t *rapid.T) {
	used, seen := map[string]int64{}, map[string]bool{}
	sum := int64(0)
	for _, l := range w.leases {
		if !l.Live() || !w.now.Before(l.Expires.Add(simulatedSkew)) {
			continue // nobody uses it
		}
		if by := l.Holder + "/" + l.Instance; seen[by] {
			t.Fatalf("%s holds twice: %+v", by, w.leases)
		} else {
			seen[by] = true
		}
		if key := fmt.Sprint(l.Holder, l.Units); !w.rule.Shares() || used[key] == 0 {
			used[key] = l.Units
			sum += l.Units
		}
	}
	if sum > w.rule.Limit() {
		t.Fatalf("%d units are used of %d: %v", sum, w.rule.Limit(), w.leases)
	}
}

// TestAdmitNeverOversells makes holders arrive, repeat, wait, give back and vanish,
// following only the verdicts of Admit.
func TestAdmitNeverOversells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &simulation{now: admitNow, requests: map[string]*Earlier{}}
		w.terms = askTerms(func(p *Pool) {
			p.Capacity = rapid.Int64Range(0, 4).Draw(t, "capacity")
			p.Full = rapid.SampledFrom([]Full{FullDeny, FullQueue, FullFallback}).Draw(t, "full")
			p.Share = rapid.SampledFrom([]Share{ShareNone, ShareHolder}).Draw(t, "share")
			p.Overdraft.Units = rapid.Int64Range(0, 2).Draw(t, "overdraft")
		})
		w.rule = w.terms.Pools["seats"]
		var last Ask
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { w.check(t) },
			"acquire": func(t *rapid.T) {
				last = Ask{
					Request: fmt.Sprint("req-", rapid.IntRange(0, 20).Draw(t, "request")), Pool: "seats", Units: rapid.Int64Range(1, 3).Draw(t, "units"),
					Holder: fmt.Sprint("holder-", rapid.IntRange(0, 3).Draw(t, "holder")), Instance: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "instance")),
				}
				last.Body = int64(crc32.ChecksumIEEE(fmt.Append(nil, last.Holder, " ", last.Instance, " ", last.Units)))
				w.ask(t, last)
			},
			"repeat": func(t *rapid.T) {
				if last.Request == "" {
					t.Skip("nothing was asked yet")
				}
				was := w.requests[last.Request]
				v := w.ask(t, last)
				if was != nil && was.Body == last.Body && was.Lease != nil && was.Lease.Live() && v.Lease != was.Lease {
					t.Fatalf("request %s led to %s before, and now %+v", last.Request, was.Lease.ID, v)
				}
			},
			"release": func(t *rapid.T) {
				if len(w.leases) == 0 {
					t.Skip("nothing is held")
				}
				if l := rapid.SampledFrom(w.leases).Draw(t, "lease"); l.Live() {
					w.end(l, EndReleased)
				}
			},
			"pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
			},
		})
	})
}

func TestTurn(t *testing.T) {
	p := Pool{Holder: "user", Capacity: 3, Lease: 900, Full: FullQueue}
	place := func(units int64, change func(*Ticket)) Ticket {
		t := Ticket{Units: units, Deadline: admitNow.Add(time.Hour), Alive: admitNow.Add(time.Minute)}
		change(&t)
		return t
	}
	as := func(*Ticket) {}
	for name, c := range map[string]struct {
		held   int64
		place  Ticket
		closed bool
		ending TicketEnding
		offer  bool
	}{
		"there is room":                 {1, place(2, as), false, "", true},
		"there is none":                 {2, place(2, as), false, "", false},
		"somebody waits before it":      {1, place(2, as), true, "", false},
		"it has its offer":              {3, place(2, func(t *Ticket) { t.Offered = admitNow.Add(time.Second) }), false, "", false},
		"its offer has lapsed":          {3, place(2, func(t *Ticket) { t.Offered = admitNow }), true, TicketLapsed, false},
		"nobody asks for it":            {1, place(2, func(t *Ticket) { t.Alive = admitNow }), true, TicketVanished, false},
		"its deadline has passed":       {1, place(2, func(t *Ticket) { t.Deadline = admitNow }), false, TicketLate, false},
		"the pool has come to be small": {0, place(4, as), true, TicketTooLarge, false},
	} {
		if ending, offer := p.Turn(Stock{Held: c.held}, c.place, c.closed, admitNow); ending != c.ending || offer != c.offer {
			t.Errorf("%s: %q, offered %v; want %q, %v", name, ending, offer, c.ending, c.offer)
		}
	}
}
