package authority

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// A workshop is a testAuthority whose database can be damaged behind the server's back.
type workshop struct {
	*testAuthority
	raw *sql.DB
}

func eachWorkshop(t *testing.T, fn func(t *testing.T, w workshop)) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		w := workshop{newTestAuthority(t, db), raw}
		sell(t, w.Authority)
		p := owner()
		p.Env = testEnv
		for _, change := range []func() error{ // so that the log contains the test's license
			func() error { _, err := w.SuspendLicense(t.Context(), p, w.p.License, "unpaid"); return err },
			func() error { _, err := w.ReinstateLicense(t.Context(), p, w.p.License, "paid"); return err },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		fn(t, w)
	})
}

func (w workshop) damage(t *testing.T, text string, args ...any) {
	t.Helper()
	if _, err := w.raw.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

func (w workshop) config() ledger.Config {
	return ledger.Config{DB: w.ledger.DB, Ring: signing.NewRing(w.ledger.Ring.Sealing()), Now: w.clock.Now, Machine: w.clock.machine()}
}

// plans fails unless a dry run plans the wanted repairs and changes nothing.
func (w workshop) plans(t *testing.T, want ...string) {
	t.Helper()
	r, err := recovery.PlanRepair(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	said(t, r, want)
	again, err := recovery.PlanRepair(t.Context(), w.config())
	if err != nil || len(again.Fixes) != len(r.Fixes) || r.Applied {
		t.Fatalf("a dry run changed something: %+v, %v", again, err)
	}
}

// repairs fails unless a repair makes the wanted changes after a backup, or without one if nothing
// can be changed.
func (w workshop) repairs(t *testing.T, want ...string) {
	t.Helper()
	w.plans(t, want...)
	before := w.entriesAfterSequence(t, licensing.CountersFixed)
	backups := 0
	r, err := recovery.ApplyRepair(t.Context(), w.config(), func(write func(io.Writer) error) error {
		var archive bytes.Buffer
		backups++
		if err := write(&archive); err != nil || archive.Len() == 0 {
			return fmt.Errorf("a backup of %d bytes: %w", archive.Len(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	said(t, r, want)
	changed := granting.Btoi(r.Changes() > 0)
	if r.Applied != (changed == 1) || backups != int(changed) {
		t.Errorf("applied %v after %d backups: %+v", r.Applied, backups, r.Fixes)
	}
	entries := w.entriesAfterSequence(t, licensing.CountersFixed)
	if int64(len(entries)-len(before)) != changed {
		t.Errorf("%d entries, want %d more than %d", len(entries), changed, len(before))
	}
}

func (w workshop) entriesAfterSequence(t *testing.T, kind string) []v1.LogEntry {
	t.Helper()
	if err := w.ledger.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w.entriesOf(t, kind)
}

func said(t *testing.T, r recovery.Repair, want []string) {
	t.Helper()
	got := []string{}
	for _, f := range r.Fixes {
		got = append(got, fmt.Sprintf("%s %s %d to %d", f.Action, f.Name, f.Stored, f.To))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Fatalf("the repair is %q, want %q", got, want)
	}
}

// TestVerifyNamesCountersThatAreNotAsTheirRows damages the counters of pools and meters behind the
// server's back.
func TestVerifyNamesCountersThatAreNotAsTheirRows(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.acquire(t, ask("seats", 1))
		w.acquire(t, ask("shared", 1))
		w.acquire(t, ask("queue", 1))
		w.acquire(t, ask("queue", 2))
		w.uses(t, w.p, "calls", w.clock.Now())
		w.agrees(t, 3)
		if r := reconciled(t, w.testAuthority); r.Pools < 3 || r.Totals != 1 {
			t.Errorf("compared %d pools, %d totals", r.Pools, r.Totals)
		}
		finds := func(text, what string, damage ...any) {
			t.Helper()
			w.damage(t, text, damage...)
			r := reconciled(t, w.testAuthority)
			if len(r.Mismatches) != 1 || r.Mismatches[0].Row != string(w.p.License) || !strings.Contains(r.Mismatches[0].What, what) || len(r.Mismatches[0].Counters) == 0 {
				t.Errorf("%s: %+v", text, r.Mismatches)
			}
		}
		right := func(text string) {
			t.Helper()
			w.damage(t, text)
			w.agrees(t, 3)
		}
		finds(`UPDATE pool SET held = 4 WHERE name = 'seats'`, "pool seats: held is 4, but the rows show 1")
		right(`UPDATE pool SET held = 1 WHERE name = 'seats'`)
		finds(`UPDATE pool SET leases = 0 WHERE name = 'shared'`, "pool shared: leases is 0, but the rows show 1")
		right(`UPDATE pool SET leases = 1 WHERE name = 'shared'`)
		finds(`UPDATE pool SET waiting = 0, tickets = 0 WHERE name = 'queue'`, "waiting is 0, but the rows show 1; tickets is 0, but the rows show 1")
		right(`UPDATE pool SET waiting = 1, tickets = 1 WHERE name = 'queue'`)
		finds(`UPDATE pool SET due = 0 WHERE name = 'seats'`, "due is never, but the rows show ")
		w.damage(t, `UPDATE pool SET due = 1 WHERE name = 'seats'`) // swept next, which is as good as right
		w.agrees(t, 3)
		finds(`UPDATE usage_total SET used = 0`, "meter calls since ")
		right(`UPDATE usage_total SET used = 1`)
		finds(`UPDATE usage_event SET quantity = 2`, "used is 1, but the rows show 2")
		right(`UPDATE usage_event SET quantity = 1`)
		finds(`DELETE FROM usage_event`, "used is 1, but the rows show 0; events is 1, but the rows show 0")
	})
}

// TestForgottenEventsAreNoMismatch checks this because totals outlast the events that they sum up.
func TestForgottenEventsAreNoMismatch(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.uses(t, w.p, "calls", w.clock.Now())
		w.clock.pass(licensing.UsageKnown + 32*24*time.Hour)
		if err := w.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.agrees(t, 0)
		w.damage(t, `UPDATE usage_total SET used = 5`)
		w.agrees(t, 0) // nothing is left to compare with
	})
}

// TestARepairRaisesAtOnce repairs a pool that counts less than is in use, as if it was credited
// with another license's releases. It then grants nothing more.
func TestARepairRaisesAtOnce(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		for n := range 5 {
			w.acquire(t, ask("seats", n))
		}
		w.damage(t, `UPDATE pool SET held = 0, leases = 2 WHERE name = 'seats'`)
		for n := range 5 {
			w.acquire(t, ask("seats", 10+n)) // oversold
		}
		w.damage(t, `UPDATE usage_total SET used = 0`)
		w.repairs(t, "raise held 5 to 10", "raise leases 7 to 10")
		if g := w.acquire(t, ask("seats", 20)); g.Lease != nil || g.Decision.Held != 10 {
			t.Errorf("%+v", g.Decision)
		}
		w.repairs(t)
		w.agrees(t, 10)
		e := w.entriesAfterSequence(t, licensing.CountersFixed)
		if len(e) != 1 || e[0].License != string(w.p.License) || e[0].Pool != "seats" || e[0].Actor != "system:repair" ||
			string(e[0].Data) != `{"counters":[{"name":"held","from":5,"to":10,"action":"raise"},{"name":"leases","from":7,"to":10,"action":"raise"}]}` {
			t.Errorf("%+v", e)
		}
	})
}

// TestARepairLowersWhenEveryDocumentHasEnded checks known leases, and forgotten ones by the longest
// lease that the pool grants.
func TestARepairLowersWhenEveryDocumentHasEnded(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		for n := range 5 {
			g := w.acquire(t, ask("seats", n))
			if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
		}
		w.damage(t, `UPDATE pool SET held = 5 WHERE name = 'seats'`)
		if g := w.acquire(t, ask("seats", 9)); g.Lease != nil {
			t.Fatal("the damage denies nobody")
		}
		w.repairs(t, "wait held 5 to 5") // documents of 15 minutes and an hour of grace
		w.clock.pass(75*time.Minute + w.ledger.Skew - time.Second)
		w.repairs(t, "wait held 5 to 5")
		w.clock.pass(time.Second)
		w.repairs(t, "lower held 5 to 0")
		w.agrees(t, 0)
		if g := w.acquire(t, ask("seats", 9)); g.Lease == nil {
			t.Errorf("%+v", g.Decision)
		}
	})
	eachWorkshop(t, func(t *testing.T, w workshop) {
		g := w.acquire(t, ask("seats", 1))
		if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		w.damage(t, `UPDATE pool SET held = 1 WHERE name = 'seats'`)
		w.damage(t, `DELETE FROM lease`)
		w.clock.pass(2 * time.Hour)
		w.repairs(t, "wait held 1 to 1") // it may have been borrowed for a day
		w.clock.pass(23*time.Hour + w.ledger.Skew)
		w.repairs(t, "lower held 1 to 0")
	})
}

// TestARepairLowersOnlyWhereRowsAndLogAgree checks that nothing is lowered if the row of a lease is
// gone, if its entry was erased, while the clock is in doubt, or while a fence is in place.
func TestARepairLowersOnlyWhereRowsAndLogAgree(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		kept, gone := w.acquire(t, ask("users", 1)), w.acquire(t, ask("users", 2))
		w.acquire(t, ask("seats", 1))
		w.damage(t, `UPDATE lease SET ended_at = 0 WHERE id = $1`, string(kept.Lease.ID))
		w.damage(t, `DELETE FROM lease WHERE id = $1`, string(gone.Lease.ID))
		w.clock.pass(400 * 24 * time.Hour)
		w.repairs(t, "keep held 2 to 2", "keep leases 2 to 2")
		for _, e := range w.entriesAfterSequence(t, licensing.LeaseBegun) {
			if e.Subject == string(gone.Lease.ID) {
				if err := w.ledger.EraseLogPayload(t.Context(), owner(), e.Index, "asked for"); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.repairs(t, "keep held 2 to 2", "keep leases 2 to 2")
	})
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.damage(t, `INSERT INTO pool (env, license, name, held, leases, waiting, tickets, over_since, due, capacity) VALUES ($1, $2, 'seats', 5, 0, 0, 0, 0, 0, 5)`,
			string(testEnv), string(w.p.License))
		err := w.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			return tx.PutFence(t.Context(), store.Fence{Env: testEnv, Since: tx.Now(), Epoch: 1, Reason: "test"})
		})
		if err != nil {
			t.Fatal(err)
		}
		w.repairs(t, "wait held 5 to 5")
		w.clock.pass(26 * time.Hour)
		w.repairs(t, "lower held 5 to 0")
	})
}

// TestARepairOfUsageGoesByEventsAndLog checks that a total is raised to the higher of the two, and
// lowered only if both agree.
func TestARepairOfUsageGoesByEventsAndLog(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		for n := range 3 {
			r, err := w.Usage(t.Context(), w.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: fmt.Sprint("event-", n), Meter: "calls", Quantity: "1"}}})
			if err != nil || r.Results[0].Status != licensing.RecordedUsage {
				t.Fatal(r, err)
			}
		}
		w.damage(t, `UPDATE usage_total SET used = 1`)
		w.repairs(t, "raise used 1 to 3")
		w.damage(t, `UPDATE usage_total SET used = 5, events = 9`)
		w.repairs(t, "lower used 5 to 3", "lower events 9 to 3")
		w.damage(t, `DELETE FROM usage_total`)
		w.repairs(t, "raise used 0 to 3", "raise events 0 to 3")
		w.agrees(t, 0)
		w.damage(t, `DELETE FROM usage_event WHERE id = 'event-1'`)
		w.repairs(t, "keep used 3 to 3", "keep events 3 to 3")
		w.damage(t, `UPDATE usage_total SET used = 1`)
		w.repairs(t, "raise used 1 to 3", "keep events 3 to 3") // the rows contain 2, the log 3
	})
}

// TestARepairThatCanNotBackUpChangesNothing checks a repair whose backup fails.
func TestARepairThatCanNotBackUpChangesNothing(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.acquire(t, ask("seats", 1))
		w.damage(t, `UPDATE pool SET held = 0 WHERE name = 'seats'`)
		full := errors.New("no space left on device")
		_, err := recovery.ApplyRepair(t.Context(), w.config(), func(func(io.Writer) error) error { return full })
		if !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
		if counter, _, _ := w.held(t, "seats"); counter != 0 {
			t.Errorf("the counter was repaired without a backup: %d", counter)
		}
		w.repairs(t, "raise held 0 to 1")
	})
}

// TestADamageOfEarlierVersionsIsRepaired checks releases of one license that were credited to
// another, in counters and in the log.
func TestADamageOfEarlierVersionsIsRepaired(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		d := pairOf(t, w.testAuthority)
		a, b := d.as(d.a), d.as(d.b)
		for n := range 3 {
			a.acquire(t, ask("seats", n))
		}
		for n := range 3 {
			id := b.acquire(t, ask("seats", n)).Lease.ID
			w.damage(t, `UPDATE lease SET ended_at = $1, ended_by = 'released', due = $2 WHERE id = $3`,
				w.clock.Now().UnixMicro(), w.clock.Now().Add(licensing.Remembered).UnixMicro(), string(id))
			err := w.ledger.Update(t.Context(), testEnv, d.a.Actor, func(tx *ledger.Tx) error { // as earlier versions logged it
				e, err := licensing.NewEvent(licensing.LeaseEnded, testEnv, tx.Now(), d.a.Actor, entry.End{Holder: ask("seats", n).Holder.ID, By: "released"})
				if err != nil {
					return err
				}
				e.License, e.Pool, e.Subject = d.a.License, "seats", string(id)
				_, err = tx.Record(e)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			w.damage(t, `UPDATE pool SET held = held - 1, leases = leases - 1 WHERE license = $1`, string(d.a.License))
		}
		r, err := recovery.PlanRepair(t.Context(), w.config())
		if err != nil {
			t.Fatal(err)
		}
		actions := map[licensing.LicenseID]audit.Action{}
		for _, f := range r.Fixes {
			actions[f.License] = f.Action
		}
		if len(r.Fixes) != 4 || actions[d.a.License] != audit.Raise || actions[d.b.License] != audit.Wait {
			t.Fatalf("%+v", r.Fixes)
		}
		w.clock.pass(25*time.Hour + w.ledger.Skew)
		if _, err := recovery.ApplyRepair(t.Context(), w.config(), func(write func(io.Writer) error) error { return write(io.Discard) }); err != nil {
			t.Fatal(err)
		}
		a.counts(t, "seats", 3)
		b.counts(t, "seats", 0)
		if r, err := recovery.PlanRepair(t.Context(), w.config()); err != nil || len(r.Fixes) != 0 {
			t.Errorf("%+v, %v", r.Fixes, err)
		}
	})
}

// TestARaisedScaleIsNoMismatch checks that a repair compares events, which keep their scale, with
// totals at the current scale.
func TestARaisedScaleIsNoMismatch(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.p = w.license(t, counted(1, 50))
		w.records(t, w.p, "a=1.5", "b=0.5")
		w.damage(t, `UPDATE usage_total SET scale = -1`) // like an earlier version
		w.damage(t, `UPDATE usage_event SET scale = -1`)
		w.plans(t)
		w.pin(t, w.p, counted(3, 5000))
		w.records(t, w.p, "c=0.001")
		w.plans(t)
		w.damage(t, `UPDATE usage_total SET used = 7`)
		w.repairs(t, "raise used 7 to 2001")
		w.damage(t, `UPDATE usage_total SET used = 4000`)
		w.repairs(t, "lower used 4000 to 2001")
		w.damage(t, `DELETE FROM usage_total`)
		w.repairs(t, "raise used 0 to 2001", "raise events 0 to 3")
	})
}
