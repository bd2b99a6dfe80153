package cli

import (
	"reflect"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
)

func TestTheSameSeedMakesTheSameLicenses(t *testing.T) {
	today := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	differ := 0
	for n := range 200 {
		first, again := benchSet{7}.license(n, today), benchSet{7}.license(n, today)
		if !reflect.DeepEqual(first, again) {
			t.Fatalf("license %d: %+v and %+v", n, first, again)
		}
		if other := (benchSet{8}).license(n, today); other.plan != first.plan || other.start != first.start {
			differ++
		}
		if len(first.reference) < 8 { // the shortest key that an import accepts
			t.Errorf("reference %q", first.reference)
		}
	}
	if differ < 100 {
		t.Errorf("only %d of 200 licenses differ between two seeds", differ)
	}
}

func TestTrialDataHasTheStatedMix(t *testing.T) {
	const n = 20_000
	today := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	states := map[benchState]int{}
	plans := map[string]int{}
	unpaid, leases, denials, events := 0, 0, 0, 0
	for number := range n {
		l := benchSet{1}.license(number, today)
		states[l.state]++
		plans[l.plan]++
		if l.payment == "unpaid" {
			unpaid++
		}
		if ended := l.start.AddDate(1, 0, 0).Before(today); ended != (l.state == benchExpired) {
			t.Fatalf("license %d is %q and starts at %v", number, l.state, l.start)
		}
		leases += len(l.acquires)
		if l.plan == "bench-solo" {
			leases--
			denials++
		}
		events += len(l.usage)
	}
	for what, per := range map[string]struct{ got, low, high int }{
		"expired of 1,000":   {states[benchExpired] * 1000 / n, 27, 33},
		"suspended of 1,000": {states[benchSuspended] * 1000 / n, 13, 17},
		"revoked of 1,000":   {states[benchRevoked] * 1000 / n, 4, 6},
		"unpaid of 1,000":    {unpaid * 1000 / n, 46, 54},
		"leases":             {leases * 100 / n, 105, 115},
		"denials":            {denials * 100 / n, 18, 22},
		"usage events":       {events * 100 / n, 460, 500},
		"kinds of plans":     {len(plans), 5, 5},
	} {
		if per.got < per.low || per.got > per.high {
			t.Errorf("%s: %d, not between %d and %d", what, per.got, per.low, per.high)
		}
	}
}

func TestTrialLicensesFitTheImport(t *testing.T) {
	s := benchSet{1}
	var rows []licensing.ImportRow
	for n := range 2 * benchPerCustomer {
		l := s.license(n, time.Unix(0, 0))
		rows = append(rows, licensing.ImportRow{Fields: l.row(s.customer(n))})
	}
	text, err := licensing.WriteImport(rows)
	if err != nil {
		t.Fatal(err)
	}
	read, faults, err := licensing.ReadImport(text)
	if err != nil || len(faults) > 0 || len(read) != len(rows) {
		t.Fatalf("%d rows, %v, %v", len(read), faults, err)
	}
	if a, b := read[0].Fields["customer"], read[benchPerCustomer].Fields["customer"]; a == b || a != "ref:bench-1-customer-00000" {
		t.Errorf("customers %s and %s", a, b)
	}
}
