package authority

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
)

func mill(version string) licensing.Caller {
	return licensing.Caller{Service: "mill", Version: version, Instance: "pod-1", Region: "eu"}
}

// logged returns the data of the entries of a type, oldest first.
func (d *testAuthority) logged(t *testing.T, kind string, into any) {
	t.Helper()
	if err := d.ledger.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := d.ledger.LogEntries(t.Context(), access.System(testEnv, "test"), ledger.LogFilter{Type: kind}, request.PageOf{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(p.Items)
	data := make([]string, len(p.Items))
	for i, e := range p.Items {
		data[i] = string(e.Data)
	}
	if err := json.Unmarshal([]byte("["+strings.Join(data, ",")+"]"), into); err != nil {
		t.Fatal(err)
	}
}

// TestWhatCallsIsKnown checks that lease, usage, denial and log store the caller that a request
// names, and that a renewal updates the lease.
func TestWhatCallsIsKnown(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		vendor := access.System(testEnv, "test")
		listed := func(pool string) licensing.Caller {
			t.Helper()
			p, err := d.Leases(t.Context(), vendor, LeaseFilter{Pool: pool}, request.PageOf{Limit: 10})
			if err != nil || len(p.Items) != 1 {
				t.Fatalf("%+v, %v", p.Items, err)
			}
			return p.Items[0].Caller
		}
		q := ask("seats", 1)
		q.Instance, q.Caller = "pod-1", mill("1.0")
		g := d.acquire(t, q)
		if got := listed("seats"); got != mill("1.0") {
			t.Errorf("acquired by %+v", got)
		}
		renew := func(by licensing.Caller) {
			t.Helper()
			var err error
			if g, err = d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation, Caller: by}); err != nil {
				t.Fatal(err)
			}
		}
		renew(licensing.Caller{Version: "1.1", Instance: "pod-1"})
		renew(licensing.Caller{})
		if got := listed("seats"); got != mill("1.1") {
			t.Errorf("renewed by %+v: omitted fields must not change", got)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation, Caller: mill("1.2")}); err != nil {
			t.Fatal(err)
		}
		for kind, version := range map[string]string{licensing.LeaseBegun: "1.0", licensing.LeaseEnded: "1.2"} {
			var entries []licensing.Caller
			if d.logged(t, kind, &entries); len(entries) != 1 || entries[0] != mill(version) {
				t.Errorf("%s tells of %+v", kind, entries)
			}
		}

		q = ask("users", 1) // its lease has no instance
		q.Caller = mill("1.0")
		d.acquire(t, q)
		if got := listed("users"); got != mill("1.0") {
			t.Errorf("an activation by %+v", got)
		}

		q = ask("no-such-pool", 1)
		q.Caller = mill("1.0")
		d.acquire(t, q)
		why, err := d.Explain(t.Context(), vendor, q.RequestID)
		if err != nil || why.Caller != mill("1.0") {
			t.Errorf("the denial's caller is %+v, %v", why.Caller, err)
		}
		var denied []licensing.Caller
		if d.logged(t, licensing.DenialFirst, &denied); len(denied) != 1 || denied[0] != mill("1.0") {
			t.Errorf("denied in the log: %+v", denied)
		}
	})
}

// TestUsageKeepsWhatRecordedIt checks that entries show how much each program added, and that the
// total shows the last program. Events take no more space than before.
func TestUsageKeepsWhatRecordedIt(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		var ops []*granting.Op
		for n, version := range []string{"1.0", "1.1", "1.0", ""} {
			by := mill(version)
			if version == "" {
				by = licensing.Caller{}
			}
			o := d.Op(d.p, granting.OpUsage, by)
			o.Events = []granting.UsageEvent{{ID: fmt.Sprint("e", n), Meter: "big", Quantity: fmt.Sprint(n + 1)}}
			ops = append(ops, o)
		}
		if _, err := d.Apply(ops); err != nil {
			t.Fatal(err)
		}
		var entries []entry.Meter
		d.logged(t, licensing.UsageRecorded, &entries)
		want := []entry.Recorder{{Caller: mill("1.0"), Added: 4, Events: 2}, {Caller: mill("1.1"), Added: 2, Events: 1}}
		if len(entries) != 1 || entries[0].Added != 10 || !slices.Equal(entries[0].By, want) {
			t.Errorf("%+v, want %+v", entries, want)
		}
		p, err := d.ListUsage(t.Context(), access.System(testEnv, "test"), UsageFilter{Meter: "big"}, request.PageOf{Limit: 10})
		if err != nil || len(p.Items) != 1 || p.Items[0].Last != mill("1.0") {
			t.Errorf("%+v, %v", p.Items, err)
		}
	})
}
