package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// Used is how much of a meter was used in a window.
type Used struct {
	Window Window
	Total  int64
}

// Document returns the contents of a license document issued at now: dates, term,
// features, fallback, pools and meters, in whole seconds. The caller adds
// identity (iss, aud, jti), binding, keys, head and nonce. If used lacks a meter,
// nothing has been used of it. Document fails with Gone if both the term and the
// fallback after it are over.
//
// The dates follow the plan's Documents and keep their order wherever they are cut:
// full function ends with the renewal grace at the latest, and the fallback lasts
// its full length after that. When only the fallback remains, a document grants
// full function for one second, because the format requires it, and its term
// shows that it is over.
func (t Terms) Document(now time.Time, used map[string]Used) (license.License, error) {
	doc := license.License{
		Customer: string(t.Customer), Plan: string(t.Plan), Revision: string(t.Revision),
		Edition: t.Edition, Status: string(t.Status),
		Term: license.Term{
			Start: unix(t.Start), End: unix(t.End), RenewalGraceEnd: unix(t.Limit()),
			Maintenance: unix(t.Maintenance), Trial: t.Trial,
		},
		Features: documentFeatures(t.Features, now), Fallback: documentFeatures(t.Fallback, now),
		Pools: t.documentPools(), Meters: t.documentMeters(now, used),
	}
	doc.Claims = license.Claims{Subject: string(t.License), Version: license.Version, Seq: t.Seq}
	if !t.dates(&doc, now.Unix()) {
		return license.License{}, Errorf(Gone, "license %s ended at %s, and its fallback has ended too", t.License, stamp(t.End))
	}
	return doc, nil
}

// dates sets the thresholds. It returns false if nothing remains to be granted.
func (t Terms) dates(doc *license.License, iat int64) bool {
	d := t.Documents
	cut := func(at int64) int64 { return at }
	if end := t.Limit(); !end.IsZero() {
		cut = func(at int64) int64 { return max(min(at, end.Unix()), iat) }
	}
	refresh := iat + int64(d.Refresh)
	if change := t.Until.Unix(); !t.Until.IsZero() && change > iat {
		refresh = min(refresh, change)
	}
	// A window spreads the requests of clients that started together.
	doc.Refresh = [2]int64{cut(refresh), cut(min(refresh+int64(d.Refresh)/4, iat+int64(d.Stale)))}
	doc.Stale = cut(iat + int64(d.Stale))
	doc.Due = cut(iat + int64(d.Life))
	doc.Expires = cut(iat + int64(d.Life) + int64(d.Grace))
	doc.Degraded = doc.Expires + int64(d.Fallback)
	doc.IssuedAt, doc.NotBefore = iat, iat
	if doc.Expires > iat {
		return true
	}
	doc.Expires = iat + 1
	doc.Degraded = t.Limit().Unix() + int64(d.Fallback)
	return doc.Degraded > doc.Expires
}

func documentFeatures(set map[string]Feature, now time.Time) map[string]license.Feature {
	out := make(map[string]license.Feature, len(set))
	for name, f := range set {
		if !f.At(now).IsZero() {
			out[name] = license.Feature{Value: f.Value, Until: unix(f.Until), Then: f.Then}
		}
	}
	return out
}

func (t Terms) documentPools() map[string]license.Pool {
	out := make(map[string]license.Pool, len(t.Pools))
	for name, p := range t.Pools {
		out[name] = license.Pool{
			Capacity: p.Capacity, Holder: p.Holder, Overdraft: p.Overdraft.Of(p.Capacity),
			Borrow: int64(p.Borrow), Full: string(p.Full),
		}
	}
	return out
}

func (t Terms) documentMeters(now time.Time, used map[string]Used) map[string]license.Meter {
	out := make(map[string]license.Meter, len(t.Meters))
	for name, m := range t.Meters {
		u := used[name]
		w, _ := t.Window(name, u.Window, now)
		if !w.Start.Equal(u.Window.Start) {
			u.Total = 0
		}
		out[name] = license.Meter{
			Unit: m.Unit, Scale: m.Scale, Quota: m.Quota,
			Soft: min(m.SoftLimit(), MaxQuantity), Hard: min(m.HardLimit(), MaxQuantity),
			Per: string(m.Per), PeriodStart: unix(w.Start), PeriodEnd: unix(w.End),
			Used: min(u.Total, MaxQuantity), Full: string(m.Full),
		}
	}
	return out
}

// unix returns t in whole seconds, 0 for the zero time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
