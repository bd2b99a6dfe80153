package licensing

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

// lossFence is a fence behind which leases of the pool seats may be missing.
func lossFence() Fence {
	return Fence{Since: admitNow.Add(-time.Second), Epoch: 2, Ending: true, Plans: map[PlanName]map[string]Span{"team": {"seats": 900}}}
}

func TestRenew(t *testing.T) {
	full := Stock{Held: 2, Leases: 2}
	over := Stock{Held: 3, Leases: 3}
	in := func(change func(*Lease)) *Lease {
		return heldLease(func(l *Lease) {
			l.Generation, l.Nonce = 5, "nonce-5"
			change(l)
		})
	}
	as := func(*Lease) {}
	proven := func(l *Lease) { l.Renewed = admitNow }
	for name, c := range map[string]struct {
		state PoolState
		lease *Lease
		shown Renewal
		step  Step
		code  string
	}{
		"the generation in force":                {PoolState{Stock: full}, in(as), Renewal{Generation: 5}, StepResume, license.CodeOK},
		"again, for the answer was lost":         {PoolState{Stock: full}, in(as), Renewal{Generation: 4, Nonce: "nonce-5"}, StepRepeat, license.CodeOK},
		"a copy":                                 {PoolState{Stock: full}, in(as), Renewal{Generation: 4, Nonce: "another"}, StepDeny, license.CodeClone},
		"after a copy was seen":                  {PoolState{Stock: full}, in(func(l *Lease) { l.Cloned = admitNow }), Renewal{Generation: 5}, StepResume, license.CodeClone},
		"a lease that nobody knows":              {PoolState{Stock: full}, nil, Renewal{Generation: 5}, StepRefuse, string(NotFound)},
		"a lease that has ended":                 {PoolState{Stock: full}, in(func(l *Lease) { l.Ended = admitNow }), Renewal{Generation: 5}, StepRefuse, string(Gone)},
		"too long a time":                        {PoolState{Stock: full}, in(as), Renewal{Generation: 5, For: 901}, StepDeny, license.CodeBorrowTooLong},
		"a pool that the plan lacks":             {PoolState{Stock: full}, in(func(l *Lease) { l.Pool = "chairs" }), Renewal{Generation: 5}, StepDeny, license.CodeNoSuchPool},
		"a recalled lease":                       {PoolState{Stock: full}, in(recalledLease), Renewal{Generation: 5}, StepDeny, license.CodeRecalled},
		"a copy of a recalled lease":             {PoolState{Stock: full}, in(recalledLease), Renewal{Generation: 3}, StepDeny, license.CodeClone},
		"what is due in a pool with room":        {PoolState{Stock: full}, in(func(l *Lease) { l.Due = admitNow }), Renewal{Generation: 5}, StepResume, license.CodeOK},
		"what is due in a pool that is over":     {PoolState{Stock: over}, in(func(l *Lease) { l.Due = admitNow }), Renewal{Generation: 5}, StepSettle, ""},
		"what is still due once that is settled": {PoolState{Stock: over, Settled: true}, in(func(l *Lease) { l.Due = admitNow }), Renewal{Generation: 5}, StepRefuse, string(Gone)},
		"what was put back and has expired": {PoolState{Stock: over, Settled: true}, in(func(l *Lease) { l.Asker.Presented, l.Expires = true, admitNow }),
			Renewal{Generation: 5}, StepRefuse, string(Gone)},
		"a later generation after a loss":                 {PoolState{Stock: full, Fence: lossFence()}, in(as), Renewal{Generation: 6}, StepRefuse, string(NotFound)},
		"an earlier generation after a loss":              {PoolState{Stock: full, Fence: lossFence()}, in(as), Renewal{Generation: 3}, StepRefuse, string(NotFound)},
		"an earlier generation that is shown":             {PoolState{Stock: full, Fence: lossFence()}, in(as), Renewal{Generation: 3, Shown: true}, StepDeny, license.CodeClone},
		"an earlier generation of what was renewed since": {PoolState{Stock: full, Fence: lossFence()}, in(proven), Renewal{Generation: 3}, StepDeny, license.CodeClone},
		"the generation in force after a loss":            {PoolState{Stock: full, Fence: lossFence()}, in(as), Renewal{Generation: 5}, StepResume, license.CodeOK},
	} {
		t.Run(name, func(t *testing.T) {
			v := Renew(askTerms(func(*Pool) {}), c.state, c.lease, c.shown, admitNow)
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

func TestTakeBack(t *testing.T) {
	doc := func(change func(*license.Lease)) *license.Lease {
		d := &license.Lease{Lease: "lse_9", Pool: "seats", Holder: "ann", Instance: "one", Units: 1, Generation: 3}
		d.IssuedAt, d.Expires = admitNow.Add(-time.Minute).Unix(), admitNow.Add(time.Minute).Unix()
		change(d)
		return d
	}
	as := func(*license.Lease) {}
	lost := PoolState{Stock: Stock{Held: 1}, Fence: lossFence()}
	full := PoolState{Stock: Stock{Held: 2}, Fence: lossFence()}
	known := func(change func(*Lease)) *Lease {
		return heldLease(func(l *Lease) {
			l.ID, l.Generation, l.Renewed = "lse_9", 2, admitNow.Add(-2*time.Minute)
			change(l)
		})
	}
	beside := func(change func(*Lease)) Known { return Known{Looked: true, Others: []*Lease{heldLease(change)}} }
	two := func(l *Lease) { l.Instance = "two" }
	for name, c := range map[string]struct {
		share Share
		state PoolState
		known Known
		doc   *license.Lease
		want  Verdict // but for its decision
		code  string
	}{
		"without a loss":               {ShareNone, PoolState{}, Known{}, doc(as), Verdict{}, ""},
		"a pool that the plan lacks":   {ShareNone, lost, Known{}, doc(func(d *license.Lease) { d.Pool = "chairs" }), Verdict{}, ""},
		"what is known already":        {ShareNone, lost, Known{Lease: known(func(l *Lease) { l.Generation, l.Renewed = 3, admitNow })}, doc(as), Verdict{}, ""},
		"what was ended by force":      {ShareNone, lost, Known{Lease: known(func(l *Lease) { l.Ended, l.EndedBy = admitNow, EndForced })}, doc(as), Verdict{}, ""},
		"before others are looked for": {ShareNone, lost, Known{}, doc(as), Verdict{Step: StepLook}, ""},
		"a lost lease":                 {ShareNone, lost, Known{Looked: true}, doc(as), Verdict{Step: StepPutBack, Charge: 1}, ""},
		"a lost lease without room":    {ShareNone, full, Known{Looked: true}, doc(as), Verdict{Step: StepPutBack, Charge: 1, Beyond: true}, ""},
		"beside another instance":      {ShareNone, full, beside(two), doc(as), Verdict{Step: StepPutBack, Charge: 1, Beyond: true}, ""},
		"beside one that shares":       {ShareHolder, full, beside(two), doc(as), Verdict{Step: StepPutBack}, ""},
		"beside one that shares and has no right": {ShareHolder, PoolState{Stock: Stock{Held: 3}, Fence: lossFence()}, beside(func(l *Lease) { l.Instance, l.Asker.Presented = "two", true }), doc(as),
			Verdict{Step: StepPutBack, Beyond: true}, ""},
		"beside one of other units": {ShareHolder, lost, beside(func(l *Lease) { l.Instance, l.Units = "two", 2 }), doc(as), Verdict{Step: StepPutBack, Charge: 1}, ""},
		"where the instance has another since": {ShareNone, lost, beside(func(l *Lease) { l.Renewed = admitNow }), doc(as),
			Verdict{Step: StepDeny, Violation: ViolationClone}, license.CodeClone},
		"where the instance had another before": {ShareNone, lost, beside(func(*Lease) {}), doc(as), Verdict{Step: StepReplace}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := TakeBack(askTerms(func(p *Pool) { p.Share = c.share }), c.state, c.known, c.doc, admitNow)
			if v.Decision.Code != c.code {
				t.Errorf("%+v, want code %q", v.Decision, c.code)
			}
			if (v.Step == StepReplace || v.Step == StepDeny) && v.Lease != c.known.Others[0] {
				t.Errorf("it is about %+v", v.Lease)
			}
			v.Decision, v.Lease = license.Decision{}, nil
			if !reflect.DeepEqual(v, c.want) {
				t.Errorf("%+v, want %+v", v, c.want)
			}
		})
	}
	behind := known(func(*Lease) {})
	if v := TakeBack(askTerms(func(*Pool) {}), lost, Known{Lease: behind}, doc(as), admitNow); v.Step != StepAdopt || v.Lease != behind {
		t.Errorf("a live lease that is behind its document: %+v", v)
	}
}

// TestADocumentIsTakenBackOnce draws leases and documents. A lease that was updated
// to match its document stays the same when the document is shown again.
func TestADocumentIsTakenBackOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := &license.Lease{Lease: "lse_1", Pool: "seats", Holder: "ann", Instance: "one", Units: 1, Generation: rapid.Int64Range(1, 5).Draw(t, "shown")}
		doc.IssuedAt = admitNow.Unix() - rapid.Int64Range(0, 100).Draw(t, "issued")
		doc.Expires = admitNow.Unix() + rapid.Int64Range(1, 100).Draw(t, "expires")
		l := heldLease(func(l *Lease) {
			l.Generation = rapid.Int64Range(1, 5).Draw(t, "known")
			l.Renewed = admitNow.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "renewed")) * time.Second)
		})
		terms, s := askTerms(func(*Pool) {}), PoolState{Stock: Stock{Held: 1}, Fence: lossFence()}
		v := TakeBack(terms, s, Known{Lease: l}, doc, admitNow)
		if v.Step == StepNone {
			if l.Behind(doc) {
				t.Fatalf("generation %d of %v is behind %+v", l.Generation, l.Renewed, doc)
			}
			return
		}
		l.Adopt(doc, time.Minute)
		if v.Step != StepAdopt || l.Generation != doc.Generation || l.Expires.Unix() < doc.Expires {
			t.Fatalf("%+v makes %+v of %+v", v, l, doc)
		}
		if again := TakeBack(terms, s, Known{Lease: l}, doc, admitNow); again.Step != StepNone {
			t.Fatalf("shown again it does %+v", again)
		}
		if next := Renew(terms, s, l, Renewal{Generation: doc.Generation, Shown: true}, admitNow); next.Step != StepResume {
			t.Fatalf("the holder cannot go on: %+v", next)
		}
	})
}
