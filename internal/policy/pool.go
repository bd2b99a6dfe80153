package policy

import (
	"strings"

	"copyhold.dev/internal/licensing"
)

func (r *reader) pool(o *object) licensing.Pool {
	p := licensing.Pool{Holder: o.text("holder", ""), Capacity: o.whole("capacity")}
	p.Lease = parsed(o, "lease", 0, parseLease)
	p.Grace, p.Borrow = o.span("grace", 0), o.span("borrow", 0)
	if d := r.open(o, "overdraft"); d != nil {
		p.Overdraft = licensing.Overdraft{Units: d.whole("units"), Percent: parsed(d, "percent", 0, parsePercent), For: d.span("for", 0)}
		d.done()
		if p.Overdraft.IsZero() {
			d.missing("units", "give a number of units or a percentage")
		}
	}
	// A machine or user that keeps its lease is one holder, however many programs
	// run. In a pool whose leases are renewed, each program has its own lease.
	share := licensing.ShareNone
	if p.Endless() {
		share = licensing.ShareHolder
	}
	p.Share = licensing.Share(o.text("share", string(share)))
	p.Full = licensing.Full(o.text("full", string(licensing.FullDeny)))
	if q := r.open(o, "queue"); q != nil {
		p.Queue = licensing.Queue{Wait: q.span("wait", 0), Max: q.whole("max")}
		q.done()
	}
	p.ShowHolders = o.flag("show_holders", false)
	p.Recall = o.span("recall", 0)
	if m := r.open(o, "match"); m != nil {
		p.Match = licensing.Match{Need: int(m.whole("need")), Of: int(m.whole("of"))}
		m.done()
	}
	o.needs(map[string]string{
		"holder":   "name the holder: machine, user, workload or another name",
		"capacity": "give the number of units",
		"lease":    "give the time that a lease lasts without renewal, or none",
	})
	o.done()
	r.check(o, p.Check())
	return p
}

// parseLease reads a length of at least one second, or none for a lease without end.
func parseLease(s string) (licensing.Span, error) {
	if s == "none" {
		return 0, nil
	}
	span, err := licensing.ParseSpan(s)
	if err == nil && span == 0 {
		return 0, licensing.Errorf(licensing.Invalid, "the lease is zero; write none if it never expires")
	}
	return span, err
}

// parsePercent reads a whole percentage, with or without its sign.
func parsePercent(s string) (int64, error) {
	n, err := licensing.ParseQuantity(strings.TrimSuffix(s, "%"), 0)
	if err != nil || n < 0 {
		return 0, licensing.Errorf(licensing.Invalid, "%q is not a whole percentage", s)
	}
	return n, nil
}
