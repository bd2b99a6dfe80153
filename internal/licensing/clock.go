package licensing

import "time"

const (
	// ClockFar is how far a clock that nothing confirms is followed beyond the record.
	ClockFar = 30 * 24 * time.Hour
	// ClockSteady is how long a clock must stay as far from the boot clock as it
	// is before documents follow it. This proves nothing about the time before.
	ClockSteady = 15 * time.Minute
)

// A ClockRecord is the latest time that a server gave, and the boot clock by
// which that server counted. Its zero value says that no server has run.
type ClockRecord struct {
	At   time.Time
	Boot string        // names one boot of one machine; "" is unknown
	Up   time.Duration // what the boot clock of that machine showed at At
}

// A ClockReading is what the clocks show now.
type ClockReading struct {
	Wall         time.Time // the database's clock, which decisions go by
	Node         time.Time // this machine's clock; Wall where the database has no other
	Apart        bool      // Wall and Node are proven to be two clocks
	Synchronized bool      // the kernel says that Node is synchronized
	Boot         string    // as in ClockRecord, of this machine
	Up           time.Duration
	Steady       time.Duration // how long Wall has been as far from the boot clock as it is
}

// A ClockVerdict is what a reading of the clocks comes to.
type ClockVerdict struct {
	// Now is what documents carry. It is never before the record.
	Now time.Time
	// Kept is the part of the time since the record that nothing explains. Now
	// includes it, and every unit that is held has to be kept for that much longer.
	Kept time.Duration
	// Doubt reports that the database's clock shows another time than Now, so that
	// nothing may be reclaimed.
	Doubt bool
	// Proven reports that Now is confirmed by a synchronized kernel or by the
	// clocks of two machines.
	Proven bool
}

// JudgeClock decides what time it is, and how much of the time since the record
// is explained. The boot clock explains it within one boot of one machine; then
// the clock on the wall has no say for ClockSteady, and only with a proof after
// that. Otherwise the kernel's synchronization or two machines whose clocks agree
// within skew explain it. Without a proof documents follow the clock, at most
// ClockFar ahead, and Kept says what holders must not lose by it. Where two clocks
// disagree the earlier one counts.
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
		v.Now = later(r.Wall, rec.At) // slow corrections are followed
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

// Line returns the time that the record and its boot clock prove, and whether
// that clock has counted until now. If not, it is the record's own time.
func (rec ClockRecord) Line(r ClockReading) (line time.Time, counted bool) {
	if rec.Boot == "" || rec.Boot != r.Boot || r.Up < rec.Up {
		return rec.At, false
	}
	return rec.At.Add(r.Up - rec.Up), true
}

// shown returns the time that the clocks show, the earlier one where they
// disagree, and whether it is proven. A clock that shows a time before from is
// wrong and does not count. The result is zero when no clock is left.
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
