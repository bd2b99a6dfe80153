package license

import (
	"testing"
	"time"
)

func TestADecisionReadsAsALine(t *testing.T) {
	for want, d := range map[string]Decision{
		"":             {},
		"allowed (ok)": {Outcome: Allowed, Code: CodeOK},
		"denied (pool_full): all 2 seats are in use (request req_1)": {Outcome: Denied, Code: CodePoolFull, Reason: "all 2 seats are in use", RequestID: "req_1"},
		"unavailable (no_license): there is no license":              {Outcome: Unavailable, Code: CodeNoLicense, Reason: Reason(CodeNoLicense)},
	} {
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTimesOfADecision(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	d, h, s := Decision{NextAt: at.Unix(), FreeAt: at.Unix() + 1}, Holding{Since: at.Unix() + 2, FreeAt: at.Unix() + 3}, Standing{At: at.Unix() + 4}
	for i, got := range []time.Time{d.NextTime(), d.FreeTime(), h.SinceTime(), h.FreeTime(), s.Time()} {
		if want := at.Add(time.Duration(i) * time.Second); got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
	for i, got := range []time.Time{Decision{}.NextTime(), Decision{}.FreeTime(), Holding{}.SinceTime(), Holding{}.FreeTime(), Standing{}.Time()} {
		if !got.IsZero() {
			t.Errorf("%d: never is %v", i, got)
		}
	}
}
