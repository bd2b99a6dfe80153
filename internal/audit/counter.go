package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Miscount is a pool, or a meter's total, whose counters differ from the sums of
// their rows.
type Miscount struct {
	Pool  *licensing.PoolCount  // nil for a meter
	Meter *licensing.MeterCount // nil for a pool
	Wrong []licensing.Counter
	// Doubted reports that the rows of leases differ from the log, or that the
	// log is incomplete, so that the rows prove nothing.
	Doubted bool
	// Logged is the meter's total in the log; zero if the log does not have it.
	Logged LoggedUsage

	unknown map[licensing.LeaseID]time.Time // ends of documents of leases that have ended, from the log
}

// LoggedUsage is a meter's total in one period, from the latest entry about it.
type LoggedUsage struct {
	From   int64 `json:"from"`  // unix seconds
	Until  int64 `json:"until"` // unix seconds, 0 for no end
	Used   int64 `json:"used"`
	Scale  *int  `json:"scale"` // nil in entries of earlier versions
	Events int64 `json:"events"`
}

func (m *Miscount) mismatch() Mismatch {
	texts := make([]string, len(m.Wrong))
	for i, c := range m.Wrong {
		texts[i] = c.String()
	}
	found := Mismatch{Entry: -1, Counters: m.Wrong}
	switch {
	case m.Pool != nil:
		found.Row, found.Pool = string(m.Pool.License), m.Pool.Pool
		found.What = "pool " + m.Pool.Pool
	default:
		found.Row, found.Meter, found.Period = string(m.Meter.License), m.Meter.Meter, m.Meter.Start
		found.What = "meter " + m.Meter.Meter + " since " + m.Meter.Start.UTC().Format(time.RFC3339)
	}
	found.What += ": " + strings.Join(texts, "; ")
	return found
}

// An Action is what a repair does with a counter.
type Action string

// The actions of a repair.
const (
	Raise Action = "raise" // immediately, because this grants nothing more
	Lower Action = "lower" // rows and log agree, and nobody can use the counted units anymore
	Wait  Action = "wait"  // lower it later
	Keep  Action = "keep"  // nothing proves the right value
)

// A Fix is the action of a repair on one counter, and the reason.
type Fix struct {
	licensing.Counter
	To     int64     `json:"to"` // the counter's new value
	Action Action    `json:"action"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"` // of Wait, if it is known
}

// Fixes decides what to do with each wrong counter at now. A counter is raised
// immediately. It is lowered only if rows and log agree and every document of the
// leases that have ended is skew past its end. Unsure, if not empty, is why
// nothing can be lowered now.
func (m *Miscount) Fixes(now time.Time, skew time.Duration, unsure string) []Fix {
	fixes := make([]Fix, len(m.Wrong))
	for i, c := range m.Wrong {
		switch {
		case m.Meter != nil:
			fixes[i] = m.fixUsage(c)
		case c.Raised():
			fixes[i] = Fix{Counter: c, To: c.Rows, Action: Raise, Reason: "the rows show more, and raising the counter grants nothing"}
		case m.Doubted:
			fixes[i] = Fix{Counter: c, To: c.Stored, Action: Keep, Reason: "the rows of leases differ from the log; see audit verify"}
		case unsure != "":
			fixes[i] = Fix{Counter: c, To: c.Stored, Action: Wait, Reason: unsure}
		default:
			fixes[i] = m.lower(c, now, skew)
		}
	}
	return fixes
}

func (m *Miscount) lower(c licensing.Counter, now time.Time, skew time.Duration) Fix {
	if end := m.Pool.Documents.Add(skew); !m.Pool.Documents.IsZero() && now.Before(end) {
		return Fix{Counter: c, To: c.Stored, Action: Wait, Until: end, Reason: "documents of ended leases are valid until then"}
	}
	return Fix{Counter: c, To: c.Rows, Action: Lower, Reason: "rows and log agree, and no document of an ended lease is still valid"}
}

func (m *Miscount) fixUsage(c licensing.Counter) Fix {
	logged := m.Logged.Used
	if c.Name == licensing.CounterEvents {
		logged = m.Logged.Events
	}
	to := max(c.Rows, logged)
	switch {
	case !m.Meter.Kept && m.Logged == LoggedUsage{}:
		return Fix{Counter: c, To: c.Stored, Action: Keep, Reason: "the total is missing, and no entry has the end of its period"}
	case to > c.Stored:
		return Fix{Counter: c, To: to, Action: Raise, Reason: "the events or the log show more, and raising the counter grants nothing"}
	case logged == c.Rows:
		return Fix{Counter: c, To: c.Rows, Action: Lower, Reason: "events and log agree"}
	}
	return Fix{Counter: c, To: c.Stored, Action: Keep, Reason: "events and log disagree"}
}

// A recounting compares counters with rows, and collects the log's entries about wrong
// counters.
type recounting struct {
	rows   Rows
	result *Reconciliation
	now    time.Time            // the latest time of any server
	pools  map[uint64]*Miscount // by the hash of license and pool
	totals map[uint64]*Miscount // by the hash of license, meter and period
	list   []*Miscount
}

// compare finds the counters that are wrong.
func (r *recounting) compare() error {
	err := r.rows.Pools(func(p licensing.PoolCount) error {
		r.result.Pools++
		if wrong := p.Wrong(r.rows.Now); len(wrong) > 0 {
			r.pools[r.rows.Hash(string(p.License)+"\x00"+p.Pool)] = r.add(&Miscount{Pool: &p, Wrong: wrong})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the counters of pools: %w", err)
	}
	err = r.rows.Meters(func(m licensing.MeterCount) error {
		r.result.Totals++
		if wrong := m.Wrong(time.Time{}); len(wrong) > 0 {
			r.totals[r.totalKey(string(m.License), m.Meter, m.Start.Unix())] = r.add(&Miscount{Meter: &m, Wrong: wrong})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the totals of meters: %w", err)
	}
	return nil
}

func (r *recounting) add(m *Miscount) *Miscount {
	m.unknown = map[licensing.LeaseID]time.Time{}
	r.list = append(r.list, m)
	return m
}

func (r *recounting) totalKey(license, meter string, from int64) uint64 {
	return r.rows.Hash(license + "\x00" + meter + "\x00" + strconv.FormatInt(from, 10))
}

// doubt notes that rows and log disagree about leases of pools.
func (r *recounting) doubt(pools ...uint64) {
	for _, pool := range pools {
		if m := r.pools[pool]; m != nil {
			m.Doubted = true
		}
	}
}

// ended notes a lease that has ended in the log but whose document may still be valid.
func (r *recounting) ended(pool uint64, id licensing.LeaseID, at time.Time) error {
	m := r.pools[pool]
	if m == nil || r.rows.DocumentsEnd == nil {
		return nil
	}
	end, known, err := r.rows.DocumentsEnd(m.Pool.License, m.Pool.Pool, at)
	switch {
	case err != nil:
		return err
	case !known:
		m.Doubted = true
	case end.After(r.rows.Now) && end.After(m.unknown[id]):
		m.unknown[id] = end
	}
	return nil
}

// entry processes an entry about a meter's total or about the clock.
func (r *recounting) entry(kind entryKind, leaf Leaf, e Entry) {
	var p Payload
	if e.Erased() || json.Unmarshal(e.Payload, &p) != nil {
		return
	}
	if kind == clockBack { // the earlier time decided which events were forgotten
		var d struct {
			From time.Time `json:"from"`
		}
		if json.Unmarshal(p.Data, &d) == nil && d.From.After(r.now) {
			r.now = d.From
		}
		return
	}
	var d LoggedUsage
	if len(r.totals) == 0 || json.Unmarshal(p.Data, &d) != nil {
		return
	}
	// Totals only grow, and entries of the same moment can be in any order.
	if m := r.totals[r.totalKey(leaf.License, leaf.Meter, d.From)]; m != nil && d.Events >= m.Logged.Events {
		if d.Scale != nil {
			d.Used = licensing.AtScale(d.Used, *d.Scale, m.Meter.Scale)
		}
		m.Logged = d
	}
}

// finish describes the faults after the complete log was read.
func (r *recounting) finish() error {
	for _, m := range r.list {
		if m.Meter != nil {
			if m.Wrong = m.Meter.Wrong(r.now.Add(-r.rows.EventsKnown)); len(m.Wrong) == 0 {
				continue
			}
		}
		for id, end := range m.unknown {
			if !end.After(m.Pool.Documents) {
				continue
			}
			row, err := r.rows.Ended(id)
			if err != nil {
				return err
			}
			if row == "" { // forgotten, including the end of its document
				m.Pool.Documents = end
			}
		}
		r.result.Miscounts = append(r.result.Miscounts, m)
		if len(r.result.Mismatches) < maxFindings {
			r.result.Mismatches = append(r.result.Mismatches, m.mismatch())
		}
	}
	return nil
}
