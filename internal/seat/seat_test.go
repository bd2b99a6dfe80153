package seat

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

// A renewal is within the refresh window of the lease, or well before the lease ends. A lease
// without dates is renewed every minute, and no lease more often than every second.
func TestRenewalsKeepToTheWindowOfTheLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for name, tc := range map[string]struct {
		dates  Dates
		spread float64
		want   time.Duration
	}{
		"the window begins":           {Dates{Refresh: [2]int64{1_000_100, 1_000_200}, Expires: 1_000_900}, 0, 100 * time.Second},
		"the middle of the window":    {Dates{Refresh: [2]int64{1_000_100, 1_000_200}, Expires: 1_000_900}, 0.5, 150 * time.Second},
		"the window has passed":       {Dates{Refresh: [2]int64{999_000, 999_100}, Expires: 1_000_900}, 0.5, time.Second},
		"a window that ends too soon": {Dates{Refresh: [2]int64{1_000_200, 1_000_100}, Expires: 1_000_900}, 0, 300 * time.Second},
		"no window":                   {Dates{Expires: 1_000_900}, 0.9, 300 * time.Second},
		"no window, and it has ended": {Dates{Expires: 999_000}, 0, time.Second},
		"no dates":                    {Dates{}, 0, time.Minute},
	} {
		if got := tc.dates.nextRenewal(now, tc.spread); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestDatesAreReadFromALease(t *testing.T) {
	t.Parallel()
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"refresh":[5,9],"iat":3,"exp":12,"instance":"here","recall":{"until":7,"reason":"needed"}}`))
	d := Seat{Lease: "head." + payload + ".signature"}.Dates()
	if d.Refresh != [2]int64{5, 9} || d.IssuedAt != 3 || d.Expires != 12 || d.Instance != "here" || d.Recall == nil || d.Recall.Until != 7 {
		t.Errorf("%+v", d)
	}
	for _, damaged := range []string{"", "head." + payload, "head.{}.signature", "head.e30x.signature"} {
		if got := (Seat{Lease: damaged}).Dates(); got != (Dates{}) {
			t.Errorf("%q: %+v", damaged, got)
		}
	}
}

func TestHoldersAreWrittenAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{"ann": "user:ann", "machine:build-7": "machine:build-7", "workload:a:b": "workload:a:b", ":x": "", "user:": "", "": ""} {
		var h Holder
		if err := h.Set(typed); (err == nil) != (want != "") || fmt.Sprint(&h) != want {
			t.Errorf("%q: %q, %v; want %q", typed, &h, err, want)
		}
	}
}
