package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	testSkew = time.Minute
	day      = 24 * time.Hour
)

var stopped = time.Date(2030, 6, 7, 17, 0, 0, 0, time.UTC)

// TestTheTimeSinceTheRecordCountsAsFarAsSomethingExplainsIt is a table of what
// clocks can show at a start and while a server runs.
func TestTheTimeSinceTheRecordCountsAsFarAsSomethingExplainsIt(t *testing.T) {
	const weekend = 63 * time.Hour
	type want struct {
		now, kept     time.Duration // now since the record
		doubt, proven bool
	}
	for _, tc := range []struct {
		name       string
		wall, node time.Duration // since the record
		same       bool          // the same boot, up for `up` since the record
		up         time.Duration
		apart, ntp bool
		steady     time.Duration
		want       want
	}{
		{name: "a weekend, the machine stayed on", wall: weekend, node: weekend, same: true, up: weekend, want: want{now: weekend}},
		{name: "a weekend, the kernel is synchronized", wall: weekend, node: weekend, ntp: true, want: want{now: weekend, proven: true}},
		{name: "a weekend, two machines agree", wall: weekend + 40*time.Second, node: weekend, apart: true, want: want{now: weekend + 40*time.Second, proven: true}},
		{name: "a weekend that nothing explains", wall: weekend, node: weekend, want: want{now: weekend, kept: weekend}},
		{name: "two machines disagree", wall: weekend, node: 2 * time.Hour, apart: true, want: want{now: 2 * time.Hour, kept: 2 * time.Hour, doubt: true}},
		{name: "two machines disagree, the earlier is synchronized", wall: weekend, node: 2 * time.Hour, apart: true, ntp: true, want: want{now: 2 * time.Hour, doubt: true, proven: true}},
		{name: "two machines disagree, the later is synchronized", wall: 2 * time.Hour, node: weekend, apart: true, ntp: true, want: want{now: 2 * time.Hour, kept: 2 * time.Hour}},
		{name: "a machine in another century does not count", wall: weekend, node: -50 * 365 * day, apart: true, want: want{now: weekend, kept: weekend}},
		{name: "a database in another century does not count", wall: -50 * 365 * day, node: weekend, ntp: true, want: want{now: weekend, doubt: true, proven: true}},
		{name: "a short stop", wall: 20 * time.Second, node: 20 * time.Second, want: want{}},
		{name: "29 days that nothing explains", wall: 29 * day, node: 29 * day, want: want{now: 29 * day, kept: 29 * day}},
		{name: "400 days that nothing explains", wall: 400 * day, node: 400 * day, want: want{doubt: true}},
		{name: "400 days, synchronized", wall: 400 * day, node: 400 * day, ntp: true, want: want{now: 400 * day, proven: true}},
		{name: "before the record", wall: -2 * time.Hour, node: -2 * time.Hour, ntp: true, want: want{doubt: true}},
		{name: "another machine's boot clock says nothing", wall: 2 * time.Hour, node: 2 * time.Hour, up: time.Hour, want: want{now: 2 * time.Hour, kept: 2 * time.Hour}},
		{name: "two hours ahead of the boot clock", wall: 3 * time.Hour, node: 3 * time.Hour, same: true, up: time.Hour, want: want{now: time.Hour, doubt: true}},
		{name: "two hours ahead of the boot clock, synchronized", wall: 3 * time.Hour, node: 3 * time.Hour, same: true, up: time.Hour, ntp: true, want: want{now: time.Hour, doubt: true}},
		{name: "two hours ahead, steady", wall: 3 * time.Hour, node: 3 * time.Hour, same: true, up: time.Hour, steady: ClockSteady, want: want{now: 3 * time.Hour, kept: 2 * time.Hour}},
		{name: "two hours ahead, steady and synchronized", wall: 3 * time.Hour, node: 3 * time.Hour, same: true, up: time.Hour, steady: ClockSteady, ntp: true, want: want{now: 3 * time.Hour, proven: true}},
		{name: "two hours ahead, steady, and the node disagrees", wall: 3 * time.Hour, node: time.Hour, same: true, up: time.Hour, steady: ClockSteady, want: want{now: time.Hour, doubt: true}},
		{name: "two hours behind the boot clock", wall: time.Hour, node: time.Hour, same: true, up: 3 * time.Hour, steady: day, ntp: true, want: want{now: 3 * time.Hour, doubt: true}},
		{name: "a slow correction", wall: time.Hour + 20*time.Second, node: time.Hour, same: true, up: time.Hour, want: want{now: time.Hour + 20*time.Second}},
		{name: "400 days ahead of the boot clock, steady", wall: 400 * day, node: 400 * day, same: true, up: time.Hour, steady: day, want: want{now: time.Hour, doubt: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := ClockRecord{At: stopped, Boot: "a", Up: time.Hour}
			r := ClockReading{Wall: stopped.Add(tc.wall), Node: stopped.Add(tc.node), Apart: tc.apart, Synchronized: tc.ntp, Boot: "b", Up: time.Hour + tc.up, Steady: tc.steady}
			if tc.same {
				r.Boot = "a"
			}
			want := ClockVerdict{Now: stopped.Add(tc.want.now), Kept: tc.want.kept, Doubt: tc.want.doubt, Proven: tc.want.proven}
			if got := JudgeClock(rec, r, testSkew); got != want {
				t.Errorf("got %v after the record, kept %v, doubt %v, proven %v; want %+v", got.Now.Sub(stopped), got.Kept, got.Doubt, got.Proven, tc.want)
			}
		})
	}
	if got := JudgeClock(ClockRecord{}, ClockReading{Wall: stopped, Node: stopped}, testSkew); got != (ClockVerdict{Now: stopped}) {
		t.Errorf("the first start of all: %+v", got)
	}
}

// TestNoClockEndsWhatIsHeldBeforeItsTime: whatever the clocks show, no lease
// ends early as long as no proof is false.
func TestNoClockEndsWhatIsHeldBeforeItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := func(name string, from, to time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(int64(from), int64(to)).Draw(t, name))
		}
		passed := length("passed", 0, 100*day)
		real := stopped.Add(passed)
		rec := ClockRecord{At: stopped, Boot: rapid.SampledFrom([]string{"", "a"}).Draw(t, "recorded boot"), Up: length("recorded up", 0, 100*day)}
		r := ClockReading{
			Wall:   real.Add(length("wall is off", -1000*day, 1000*day)),
			Node:   real.Add(length("node is off", -1000*day, 1000*day)),
			Boot:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "boot"),
			Up:     rec.Up + passed,
			Steady: length("steady", 0, day),
		}
		if rapid.Bool().Draw(t, "one machine") {
			r.Node = r.Wall
		}
		if rapid.Bool().Draw(t, "synchronized") {
			if r.Synchronized = true; r.Node.Equal(r.Wall) {
				r.Wall = real
			}
			r.Node = real
		} else if !r.Node.Equal(r.Wall) && (within(r.Wall, real, testSkew) || within(r.Node, real, testSkew)) {
			r.Apart = true // two clocks that are wrong do not agree by chance
		}
		if r.Boot == "b" {
			r.Up = length("up", 0, 100*day)
		}
		v := JudgeClock(rec, r, testSkew)
		if v.Now.Before(rec.At) {
			t.Fatalf("time went back to %v", v.Now)
		}
		if v.Kept < 0 || v.Kept > ClockFar {
			t.Fatalf("kept for %v", v.Kept)
		}
		// By this much what was held before is nearer to its end.
		if spent := v.Now.Add(-v.Kept).Sub(rec.At); spent > passed+testSkew {
			t.Fatalf("%v have passed and %v are counted: %+v", passed, spent, v)
		}
		if v.Now.Sub(rec.At) > passed+ClockFar+testSkew {
			t.Fatalf("%v have passed, and documents are %v ahead", passed, v.Now.Sub(rec.At))
		}
	})
}

// TestARightClockIsNotDoubted: with any one proof, a correct clock gives the
// correct time, and nothing is kept longer.
func TestARightClockIsNotDoubted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		passed := time.Duration(rapid.Int64Range(0, int64(1000*day)).Draw(t, "passed"))
		now := stopped.Add(passed)
		rec := ClockRecord{At: stopped, Boot: "a", Up: time.Hour}
		r := ClockReading{Wall: now, Node: now, Boot: "b", Up: time.Minute}
		switch rapid.SampledFrom([]string{"boot", "kernel", "two"}).Draw(t, "proof") {
		case "boot":
			r.Boot, r.Up = "a", time.Hour+passed
		case "kernel":
			r.Synchronized = true
		case "two":
			r.Apart, r.Node = true, now.Add(5*time.Millisecond)
		}
		v := JudgeClock(rec, r, testSkew)
		if !within(v.Now, now, testSkew/2) || v.Kept != 0 || v.Doubt {
			t.Fatalf("%v after the stop: %+v", passed, v)
		}
	})
}
