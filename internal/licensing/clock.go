package licensing

import "time"

const (
	// ClockFar is how far beyond the record an unconfirmed clock is followed.
	ClockFar = 30 * 24 * time.Hour
	// ClockSteady is how long a clock's distance from the boot clock must stay the
	// same before documents follow it. This proves nothing about the time before.
	ClockSteady = 15 * time.Minute
)

// A ClockRecord is the latest time that a server issued, with the boot clock of that
// server. Its zero value means that no server has run.
type ClockRecord struct {
	At   time.Time
	Boot string        // names one boot of one machine; "" is unknown
	Up   time.Duration // that machine's boot clock at At
}

// A ClockReading is a reading of all clocks at one moment.
type ClockReading struct {
	Wall         time.Time // the database's clock, which decisions use
	Node         time.Time // this machine's clock; Wall if the database has no other
	Apart        bool      // Wall and Node are proven to be two clocks
	Synchronized bool      // the kernel reports that Node is synchronized
	Boot         string    // as in ClockRecord, of this machine
	Up           time.Duration
	Steady       time.Duration // how long the distance between Wall and the boot clock has been the same
}

// A ClockVerdict is the conclusion from a reading of the clocks.
type ClockVerdict struct {
	// Now is the time that documents carry. It is never before the record.
	Now time.Time
	// Kept is the unexplained part of the time since the record. Now includes it, and
	// every unit in use must be kept that much longer.
	Kept time.Duration
	// Doubt reports that the database's clock differs from Now, so that nothing may
	// be reclaimed.
	Doubt bool
	// Proven reports that Now is confirmed by a synchronized kernel or by the
	// clocks of two machines.
	Proven bool
}

// JudgeClock decides what time it is and how much of the time since the record
// is explained. Within one boot of one machine the boot clock explains it; the
// wall clock then counts only after ClockSteady, and only with a proof.
// Otherwise a synchronized kernel, or two machines whose clocks agree within
// skew, explain it. Without a proof, documents follow the clock at most
// ClockFar ahead, and Kept is the time that holders must not lose because of it.
// If two clocks disagree, the earlier one counts.
func JudgeClock(rec ClockRecord, r ClockReading, skew time.Duration) ClockVerdict {
	if rec.At.IsZero() {
		return ClockVerdict{Now: r.Wall}
	}
	near := skew / 2
	line, counted := rec.Line(r)
	shown, proven := r.shown(line.Add(-near), skew)
	ahead := shown.Sub(line)
	v := ClockVerdict{Now: line}
	switch {
	case counted && within(r.Wall, line, near):
		v.Now = later(r.Wall, rec.At) // follow slow corrections
		v.Proven = proven && within(shown, line, near)
	case shown.IsZero(), ahead <= near:
	case counted && r.Steady < ClockSteady:
	case proven:
		v.Now, v.Proven = shown, true
	case ahead <= ClockFar:
		v.Now, v.Kept = shown, ahead
	}
	v.Doubt = !within(r.Wall, v.Now, near)
	return v
}

// Line returns the time that the record and its boot clock prove, and whether that
// clock has been counting until now. If not, it returns the record's own time.
func (rec ClockRecord) Line(r ClockReading) (line time.Time, counted bool) {
	if rec.Boot == "" || rec.Boot != r.Boot || r.Up < rec.Up {
		return rec.At, false
	}
	return rec.At.Add(r.Up - rec.Up), true
}

// shown returns the time that the clocks show, the earlier one if they disagree, and
// whether that time is proven. A clock that shows a time before from is wrong and is
// ignored. The result is zero if no clock remains.
func (r ClockReading) shown(from time.Time, skew time.Duration) (shown time.Time, proven bool) {
	wallCounts, nodeCounts := !r.Wall.Before(from), !r.Node.Before(from)
	switch {
	case wallCounts && within(r.Wall, r.Node, skew):
		return r.Wall, r.Synchronized || r.Apart
	case nodeCounts && (!wallCounts || r.Node.Before(r.Wall)):
		return r.Node, r.Synchronized
	case wallCounts:
		return r.Wall, false
	}
	return time.Time{}, false
}

func within(a, b time.Time, d time.Duration) bool { return a.Sub(b).Abs() <= d }
