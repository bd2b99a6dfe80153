package granting

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

const (
	// maxEvents limits the events of one request.
	maxEvents = 1000
)

// A UsageRequest is usage events of one program. If it has a nonce, its answer is signed.
type UsageRequest struct {
	Events []UsageEvent
	Nonce  string
	Caller licensing.Caller
}

// A UsageEvent is the consumption of units of a meter. Because of its ID, it counts only once, no
// matter how often it is sent.
type UsageEvent struct {
	ID       string
	Meter    string
	Quantity string    // decimal, with at most the meter's decimal places
	At       time.Time // zero means now
}

// A UsageResult is the result of one event.
type UsageResult struct {
	ID       string
	Status   licensing.UsageStatus
	Decision license.Decision
	Reason   string // why the event is invalid
}

// UsageReply is the results of a request's events. If the request had a nonce, Reply is a signed
// decision: the first one that is not allowed, or else the last one.
type UsageReply struct {
	Results []UsageResult
	Reply   string
}

// decision returns the decision of r for counting and signing. An invalid event is a denial;
// otherwise the program would send it forever.
func (r UsageResult) decision() license.Decision {
	if r.Status == licensing.InvalidUsage {
		return license.Decision{Outcome: license.Denied, Code: string(licensing.Invalid), Rule: "usage.event", Reason: r.Reason}
	}
	return r.Decision
}

// Usage records consumption. Each event has its own result.
func (g *Granting) Usage(ctx context.Context, p access.Principal, q UsageRequest) (UsageReply, error) {
	events, nonce := q.Events, q.Nonce
	switch {
	case len(events) == 0:
		return UsageReply{}, licensing.Errorf(licensing.Invalid, "events is empty").At("events")
	case len(events) > maxEvents:
		return UsageReply{}, licensing.Errorf(licensing.TooLarge, "the request has %d events; at most %d are allowed", len(events), maxEvents).At("events")
	}
	if err := request.CheckCaller(q.Caller); err != nil {
		return UsageReply{}, err
	}
	if err := documents.CheckNonce(nonce); err != nil {
		return UsageReply{}, err
	}
	o := g.Op(p, OpUsage, q.Caller)
	o.Events = events
	if err := g.do(ctx, o); err != nil {
		return UsageReply{}, err
	}
	reply := UsageReply{Results: o.Answer.Usage}
	said := reply.Results[len(reply.Results)-1].decision()
	for i := len(reply.Results) - 1; i >= 0; i-- {
		r := reply.Results[i]
		d := r.decision()
		g.ledger.Metrics.Decision(string(o.Env), string(o.Answer.terms.Product), measured(o.Answer.terms.Meters, events[i].Meter), string(d.Outcome), d.Code)
		if r.Status == licensing.DeniedUsage {
			said = d
		}
	}
	if nonce == "" {
		return reply, nil
	}
	if said.Outcome == license.Denied { // this includes invalid events
		said.RequestID = o.Call
	}
	var err error
	reply.Reply, err = g.documents.Reply(&o.Answer.terms.Terms, documents.Question{Nonce: nonce, Entry: o.Answer.entryText()}, said, o.Answer.now)
	return reply, err
}

// A tally is a meter's total with the changes of the batch.
type tally struct {
	store.UsageTotal
	meter   licensing.Meter
	changed bool
	added   int64 // in this batch
	by      []entry.Recorder
	ops     []*Op
}

// credit counts the units of an event for the program that recorded it.
func (t *tally) credit(by licensing.Caller, added int64) {
	if by == (licensing.Caller{}) {
		return
	}
	t.Caller = by
	for i := range t.by {
		if t.by[i].Caller == by {
			t.by[i].Added += added
			t.by[i].Events++
			return
		}
	}
	t.by = append(t.by, entry.Recorder{Caller: by, Added: added, Events: 1})
}

// recordUsage counts usage. One statement reads which events are new.
func (b *batch) recordUsage(ops []*Op) error {
	var keys []store.EventKey
	asked := false
	for _, o := range ops {
		if o.Kind == OpUsage && o.Answer.Err == nil {
			asked = true
			for _, e := range o.Events {
				if request.CheckTexts(request.Text{Field: "id", Value: e.ID}) != nil {
					continue // refused below; it must not reach the database
				}
				keys = append(keys, store.EventKey{Env: o.Env, License: o.License, ID: e.ID})
			}
		}
	}
	if !asked {
		return nil
	}
	known, err := b.KnownEvents(b.ctx, keys)
	if err != nil {
		return err
	}
	m := &metering{batch: b, known: known}
	for _, o := range ops {
		if o.Kind != OpUsage || o.Answer.Err != nil {
			continue
		}
		for _, e := range o.Events {
			r, err := m.count(o, e)
			if err != nil {
				return err
			}
			m.refuse(o, e, &r)
			o.Answer.Usage = append(o.Answer.Usage, r)
		}
	}
	return m.flush()
}

// metering is the usage of one batch.
type metering struct {
	*batch
	known   map[store.EventKey]store.UsageEvent
	tallies []*tally
	events  []store.UsageEvent
	refused map[store.EventKey]store.UsageRefusal
}

// refuse stores an event that was not recorded, so that it can be explained. An event without a
// valid id is not stored.
func (m *metering) refuse(o *Op, e UsageEvent, r *UsageResult) {
	if r.Status != licensing.DeniedUsage && r.Status != licensing.InvalidUsage {
		return
	}
	o.name(m.Now())
	d, meter := r.decision(), measured(o.Answer.terms.Meters, e.Meter)
	if r.Status == licensing.DeniedUsage {
		r.Decision.RequestID, meter = o.Call, e.Meter
	}
	if e.ID == "" || request.CheckTexts(request.Text{Field: "id", Value: e.ID}) != nil {
		return
	}
	k := store.EventKey{Env: o.Env, License: o.License, ID: e.ID}
	if m.refused == nil {
		m.refused = map[store.EventKey]store.UsageRefusal{}
	}
	m.refused[k] = store.UsageRefusal{EventKey: k, Meter: meter, Call: o.Call, At: m.Now(), Decision: o.Answer.terms.Attributed(meter, d)}
}

// count decides about one event.
func (m *metering) count(o *Op, e UsageEvent) (UsageResult, error) {
	r := UsageResult{ID: e.ID, Status: licensing.InvalidUsage}
	t := o.Answer.terms
	meter, planned := t.Meters[e.Meter]
	quantity, at, reason := m.check(e, meter, planned)
	key := store.EventKey{Env: o.Env, License: o.License, ID: e.ID}
	recorded, known := m.known[key]
	if reason == "" && known {
		reason = otherUse(recorded, e.Meter, quantity, meter, planned)
	}
	switch {
	case reason != "":
		r.Reason = reason
		return r, nil
	case known:
		r.Status = licensing.DuplicateUsage
		r.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "meter.event", Reason: "already recorded"}
		return r, nil
	case !planned:
		r.Status = licensing.DeniedUsage
		r.Decision = license.Decision{Outcome: license.Denied, Code: license.CodeNoSuchMeter, Rule: "plan.meters", Reason: "plan " + string(t.Plan) + " has no meter " + e.Meter}
		m.denyUsage(o, e, r.Decision)
		return r, nil
	}
	if d := t.InForce(at); d.Outcome != license.Allowed {
		r.Status, r.Decision = licensing.DeniedUsage, d
		m.denyUsage(o, e, d)
		return r, nil
	}
	tally, err := m.tally(o, e.Meter, meter, at)
	if err != nil {
		return r, err
	}
	if err := m.noteLimits(o, tally); err != nil { // a change of the license can have moved them
		return r, err
	}
	d, total := meter.Consume(tally.Used, quantity, tally.Window)
	r.Decision = d
	if d.Outcome != license.Allowed || d.Code == license.CodeFallback {
		r.Status = licensing.DeniedUsage
		m.denyUsage(o, e, d)
		return r, nil
	}
	r.Status = licensing.RecordedUsage
	m.known[key] = store.UsageEvent{Env: o.Env, License: o.License, ID: e.ID, Meter: e.Meter,
		Quantity: quantity, Scale: meter.Scale, At: at, Recorded: m.Now(), Period: tally.Window.Start, Call: o.Call}
	m.events = append(m.events, m.known[key])
	return r, m.add(o, tally, total)
}

// otherUse returns the reason why an event differs from the one that was recorded with the same id,
// or "" if it does not. Otherwise two different uses with one id would count only once, unnoticed.
func otherUse(recorded store.UsageEvent, name string, quantity int64, meter licensing.Meter, planned bool) string {
	if recorded.Scale < 0 {
		recorded.Scale = meter.Scale // events used to be recorded without a scale
	}
	was := licensing.FormatQuantity(recorded.Quantity, recorded.Scale)
	if recorded.Meter == name && (!planned || was == licensing.FormatQuantity(quantity, meter.Scale)) {
		return ""
	}
	return "the id has already been recorded with " + was + " of the meter " + recorded.Meter + ": each use needs a separate id"
}

// check parses an event's quantity and time. A non-empty reason explains why the event is invalid.
func (m *metering) check(e UsageEvent, meter licensing.Meter, planned bool) (quantity int64, at time.Time, reason string) {
	if e.ID == "" {
		return 0, at, "the event has no id"
	}
	if err := request.CheckTexts(request.Text{Field: "id", Value: e.ID}); err != nil {
		return 0, at, err.Error()
	}
	if err := request.CheckNames(request.Text{Field: "meter", Value: e.Meter}); err != nil {
		return 0, at, err.Error()
	}
	if planned {
		var err error
		if quantity, err = licensing.ParseQuantity(e.Quantity, meter.Scale); err != nil {
			return 0, at, err.Error()
		}
		if quantity < 0 {
			return 0, at, "the quantity must not be negative"
		}
	}
	at = e.At
	switch {
	case at.IsZero():
		at = m.Now()
	case at.After(m.Now().Add(m.granting.ledger.Skew)):
		return 0, at, "the event is in the future"
	case at.Before(m.Now().Add(-licensing.UsageLate)):
		return 0, at, "the event is more than 45 days old"
	}
	return quantity, at, ""
}

// tally returns the total of the period that contains at.
func (m *metering) tally(o *Op, name string, meter licensing.Meter, at time.Time) (*tally, error) {
	k := store.MeterKey{Env: o.Env, License: o.License, Meter: name}
	for _, t := range m.tallies {
		if t.MeterKey == k && t.Window.Contains(at) {
			return t, nil
		}
	}
	last, err := m.UsageTotals(m.ctx, k, at, 1)
	if err != nil {
		return nil, err
	}
	if len(last) == 0 || !last[0].Window.Contains(at) {
		var before licensing.Window
		if len(last) > 0 {
			before = last[0].Window
		}
		w, _ := o.Answer.terms.Window(name, before, at)
		return m.open(k, meter, w)
	}
	t := &tally{UsageTotal: last[0], meter: meter}
	t.Scale = meter.Scale // every change of the terms converts it
	m.tallies = append(m.tallies, t)
	if end := t.Window.End; !end.IsZero() && !end.After(m.Now()) {
		return t, nil // the period is over; late usage changes only its total
	}
	w, _ := o.Answer.terms.Window(name, t.Window, m.Now())
	if w.Start.Equal(t.Window.Start) {
		t.Window = w
		return t, nil
	}
	// The plan changed during the period, so the current window ends here.
	t.Window.End, t.changed = w.Start, true
	fresh, err := m.open(k, meter, w)
	if err == nil && w.Contains(at) {
		return fresh, nil
	}
	return t, err
}

// open begins a period without usage. If another server has begun the period in the meantime, open
// continues its total.
func (m *metering) open(k store.MeterKey, meter licensing.Meter, w licensing.Window) (*tally, error) {
	t := &tally{UsageTotal: store.UsageTotal{MeterKey: k, Window: w, Scale: meter.Scale}, meter: meter}
	made, err := m.OpenTotal(m.ctx, t.UsageTotal)
	if err != nil {
		return nil, err
	}
	if !made {
		begun, err := m.UsageTotals(m.ctx, k, w.Start, 1)
		if err != nil {
			return nil, err
		}
		t.UsageTotal = begun[0]
		t.Scale = meter.Scale
	}
	m.tallies = append(m.tallies, t)
	return t, nil
}

// add counts an event, and records the limits that it passes.
func (m *metering) add(o *Op, t *tally, total int64) error {
	was := t.Used
	t.added += total - was
	t.credit(o.by, total-was)
	t.Used = total
	t.Events++
	t.changed = true
	if len(t.ops) == 0 || t.ops[len(t.ops)-1] != o {
		t.ops = append(t.ops, o)
	}
	if err := m.noteLimits(o, t); err != nil {
		return err
	}
	if was <= t.meter.Quota && total > t.meter.Quota {
		return m.noteMeter(o, t, licensing.UsageOverage)
	}
	return nil
}

// noteLimits logs when the soft limit is reached and when the quota is spent, once per period and
// limit. If a limit is raised above the current usage, it can be reached again.
func (m *metering) noteLimits(o *Op, t *tally) error {
	for _, limit := range []struct {
		at      *time.Time
		reached bool
		kind    string
	}{
		{&t.SoftAt, t.Used >= t.meter.SoftLimit(), licensing.UsageSoftLimit},
		{&t.HardAt, t.meter.Spent(t.Used), licensing.UsageSpent},
	} {
		switch {
		case limit.reached && limit.at.IsZero():
			*limit.at, t.changed = m.Now(), true
			if err := m.noteMeter(o, t, limit.kind); err != nil {
				return err
			}
		case !limit.reached && !limit.at.IsZero() && t.Window.Contains(m.Now()):
			*limit.at, t.changed = time.Time{}, true
		}
	}
	return nil
}

// flush stores totals and events, and logs the totals.
func (m *metering) flush() error {
	var totals []*store.UsageTotal
	for _, t := range m.tallies {
		if !t.changed {
			continue
		}
		totals = append(totals, &t.UsageTotal)
		if len(t.ops) == 0 {
			continue
		}
		if err := m.noteMeter(t.ops[0], t, licensing.UsageRecorded); err != nil {
			return err
		}
		for _, o := range t.ops[1:] {
			o.Answer.Entry, o.Answer.Entered = t.ops[0].Answer.Entry, true
		}
	}
	if err := m.PutTotals(m.ctx, totals); err != nil {
		return err
	}
	if err := m.InsertEvents(m.ctx, m.events); err != nil {
		return err
	}
	refused := slices.SortedFunc(maps.Values(m.refused), func(a, b store.UsageRefusal) int { // in the same order on every server
		return cmp.Or(cmp.Compare(a.Env, b.Env), cmp.Compare(a.ID, b.ID), cmp.Compare(a.License, b.License))
	})
	return m.PutRefusals(m.ctx, refused)
}

// noteMeter records an event about a meter's total. Its entry becomes that of o.
func (m *metering) noteMeter(o *Op, t *tally, kind string) error {
	e, err := licensing.NewEvent(kind, t.Env, m.Now(), o.Actor, entry.Meter{From: t.Window.Start.Unix(), Until: UnixOf(t.Window.End), Used: t.Used, Added: t.added, Scale: t.meter.Scale, Events: t.Events, By: t.by})
	if err != nil {
		return err
	}
	e.License, e.Meter = t.License, t.Meter
	e.Product, e.Customer, e.Call = o.Answer.terms.Product, o.Answer.terms.Customer, o.Call
	o.Answer.Entry, err = m.Record(e)
	o.Answer.Entered = err == nil
	return err
}

func (m *metering) denyUsage(o *Op, e UsageEvent, d license.Decision) {
	before := o.Answer.Decision
	o.Answer.Decision = d
	m.denyFor(o, e.ID, e.Meter, "", nil)
	o.Answer.Decision = before
}
