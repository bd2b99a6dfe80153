package authority

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// A plant is a deployment that is stopped and started with clocks that may be wrong.
type plant struct {
	truth   *testClock // the time on everyone else's clocks
	open    func() (*store.DB, error)
	sealing *signing.SealingKey
	p       access.Principal
	running map[*store.DB]bool
}

// A start is the state of the clocks at one start.
type start struct {
	boot      string        // of the machine
	off       time.Duration // the error of the database's clock
	node      time.Duration // the error of this machine's clock, if there are two
	kernel    bool          // considers the machine's clock synchronized
	unstarted bool
}

// plants runs fn on SQLite and on PostgreSQL, with five seats that are all in use.
func plants(t *testing.T, fn func(t *testing.T, w *plant, held []granting.Granted)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "copyhold.db")
		newPlant(t, func() (*store.DB, error) { return sqlite.Open(t.Context(), path) }, fn)
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		newPlant(t, func() (*store.DB, error) { return postgres.Open(t.Context(), url, "") }, fn)
	})
}

func newPlant(t *testing.T, open func() (*store.DB, error), fn func(*testing.T, *plant, []granting.Granted)) {
	t.Helper()
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &plant{truth: newTestClock(), open: open, sealing: sealing, running: map[*store.DB]bool{}}
	d := w.start(t, start{boot: "first"})
	if err := d.PrepareKeys(t.Context(), testEnv); err != nil {
		t.Fatal(err)
	}
	d.p = d.license(t, testPlan())
	w.p = d.p
	var held []granting.Granted
	for n := range 5 {
		held = append(held, d.acquire(t, ask("seats", n)))
	}
	w.truth.pass(time.Second)
	w.stop(t, d)
	fn(t, w, held)
}

// start opens the database and starts a server on it, like the program.
func (w *plant) start(t *testing.T, s start) *testAuthority {
	t.Helper()
	d := &testAuthority{clock: w.truth, p: w.p}
	d.Authority = New(w.config(t, s))
	t.Cleanup(d.Close)
	if s.unstarted {
		return d
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// config opens the database for a process on a machine with the clocks of s.
func (w *plant) config(t *testing.T, s start) ledger.Config {
	t.Helper()
	db, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	w.running[db] = true
	t.Cleanup(func() {
		if w.running[db] {
			_ = db.Close()
		}
	})
	wall := func() time.Time { return w.truth.Now().Add(s.off) }
	db.Now = wall
	// The program checks whether the deployment exists before it has an authority.
	if err := db.View(t.Context(), func(tx *store.Tx) error { _, _, err := tx.Deployment(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	machine := w.truth.machine()
	machine.Boot, machine.Synchronized = s.boot, func() bool { return s.kernel }
	return ledger.Config{DB: db, Ring: signing.NewRing(w.sealing), Now: func() time.Time { return w.truth.Now().Add(s.node) }, Machine: machine}
}

// stop ends a server, which stores its last time.
func (w *plant) stop(t *testing.T, d *testAuthority) {
	t.Helper()
	d.Close()
	delete(w.running, d.ledger.DB)
	if err := errors.Join(d.ledger.DB.StoreClock(t.Context()), d.ledger.DB.Close()); err != nil {
		t.Fatal(err)
	}
}

// tick runs the background tasks that run every second.
func (d *testAuthority) tick(t *testing.T) {
	t.Helper()
	if err := errors.Join(d.ledger.LookAtClock(t.Context()), d.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestAWrongClockAtAStartOversellsNothing starts servers on a full pool with wrong clocks, on the
// same boot of the machine and on another. For several hours it checks that no more is granted than
// the valid documents leave free.
func TestAWrongClockAtAStartOversellsNothing(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour, 29 * 24 * time.Hour, 400 * 24 * time.Hour} {
		for _, boot := range []string{"first", "second"} {
			for _, servers := range []int{1, 2} {
				t.Run(off.String()+" "+boot+" "+[]string{"", "one", "two"}[servers], func(t *testing.T) {
					plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
						w.truth.pass(10 * time.Minute)
						s := start{boot: boot, off: off, node: off}
						desks := []*testAuthority{w.start(t, s)}
						if servers == 2 {
							if !desks[0].ledger.DB.Shared() {
								t.Skip("one server at a time")
							}
							s.boot += " of another"
							desks = append(desks, w.start(t, s))
							w.truth.pass(store.Watched) // the first server hung while the second one watched for it
						}
						w.sellsNoMore(t, held, desks)
					})
				})
			}
		}
	}
}

// sellsNoMore lets the first holder renew and newcomers ask for three hours. A holder from before
// the stop may use its unit until its document ends by the true time. Later holders have learned
// the servers' time.
func (w *plant) sellsNoMore(t *testing.T, held []granting.Granted, desks []*testAuthority) {
	t.Helper()
	var newcomers []granting.Granted
	renewed := held[0]
	for n := range 12 {
		d := desks[n%len(desks)]
		d.tick(t)
		r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: renewed.Lease.ID, Generation: renewed.Lease.Generation, Nonce: ledger.NewID("nonce", d.clock.Now())})
		if err != nil || r.Lease == nil {
			t.Fatalf("%d: a holder can't renew: %v %+v", n, err, r.Decision)
		}
		renewed = r
		for k := range 2 {
			g, err := d.Acquire(t.Context(), d.p, ask("seats", 100+2*n+k))
			if err != nil {
				t.Fatal(err)
			}
			if g.Lease != nil {
				newcomers = append(newcomers, g)
			}
		}
		use := 1
		for _, g := range held[1:] {
			use += int(granting.Btoi(g.Lease.Expires.After(w.truth.Now())))
		}
		for _, g := range newcomers {
			use += int(granting.Btoi(g.Lease.Expires.After(d.ledger.DB.Latest())))
		}
		if use > 5 {
			t.Fatalf("after %d minutes, %d holders use 5 seats", 15*n, use)
		}
		w.truth.pass(15 * time.Minute)
	}
	for _, d := range desks {
		if counter, charged, live := d.held(t, "seats"); counter != charged || counter != live || counter > 5 {
			t.Errorf("counter %d, charged %d, live %d", counter, charged, live)
		}
	}
}

// fills acquires as many seats as possible, up to six.
func (d *testAuthority) fills(t *testing.T, from int) (granted int) {
	t.Helper()
	for n := range 6 {
		if g := d.acquire(t, ask("seats", from+n)); g.Lease != nil {
			granted++
		}
	}
	return granted
}

const weekend = 63 * time.Hour

// TestAWeekendsStopDoubtsNothing checks that with a right clock, and a reason to trust it, leases
// that ended in the meantime are free immediately.
func TestAWeekendsStopDoubtsNothing(t *testing.T) {
	for name, s := range map[string]start{
		"the machine stayed on":       {boot: "first"},
		"the kernel is synchronized":  {boot: "second", kernel: true},
		"two machines' clocks agree":  {boot: "second", node: 20 * time.Millisecond},
		"and they are 40 s apart":     {boot: "second", node: 40 * time.Second},
		"the node alone is right":     {boot: "second", node: 0, off: 3 * time.Hour, kernel: true},
		"the database alone is right": {boot: "first", node: 9 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			plants(t, func(t *testing.T, w *plant, _ []granting.Granted) {
				w.truth.pass(weekend)
				if name == "two machines' clocks agree" || name == "and they are 40 s apart" || s.off != 0 {
					db, err := w.open()
					if err != nil {
						t.Fatal(err)
					}
					shared := db.Shared()
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					if !shared {
						t.Skip("one machine has one clock")
					}
				}
				d := w.start(t, s)
				if got := d.ledger.DB.Latest().Sub(w.truth.Now()).Abs(); got > time.Second {
					t.Errorf("the time is %v off", got)
				}
				if s.off != 0 { // the clocks differ, so reclaiming waits until they agree
					d.ledger.DB.Now = w.truth.Now
				}
				d.tick(t)
				if n := d.fills(t, 10); n != 5 {
					t.Errorf("%d of 5 seats were granted", n)
				}
				if c := d.clockStatus(t); !c.IsZero() {
					t.Errorf("status: %+v", c)
				}
			})
		})
	}
}

// TestATimeThatNothingExplainsKeepsWhatIsHeld checks a start after a weekend and a boot, without
// proof. Work continues by the clock, and only units in use keep their remaining time.
func TestATimeThatNothingExplainsKeepsWhatIsHeld(t *testing.T) {
	plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
		w.truth.pass(weekend)
		d := w.start(t, start{boot: "second"})
		began := w.truth.Now()
		d.tick(t)
		if n := d.fills(t, 10); n != 0 {
			t.Fatalf("%d were granted on a full pool", n)
		}
		if g := d.acquire(t, ask("big", 1)); g.Lease == nil || g.Lease.Granted.Sub(began).Abs() > time.Second {
			t.Errorf("free units are granted with the clock's time: %+v", g)
		}
		s := d.clockStatus(t)
		if s.InDoubt || time.Duration(s.Kept)*time.Second < weekend-time.Minute || s.KeptUntil.Sub(began) > 2*time.Hour {
			t.Errorf("status: %+v", s)
		}
		left := held[0].Lease.Due.Sub(held[0].Lease.Granted)
		w.truth.pass(left - 2*time.Second)
		d.tick(t)
		if n := d.fills(t, 20); n != 0 {
			t.Errorf("%d were granted before the old leases had ended", n)
		}
		// A start in between has no effect.
		w.stop(t, d)
		d = w.start(t, start{boot: "second"})
		w.truth.pass(2 * time.Second)
		d.tick(t)
		if n := d.fills(t, 30); n != 5 {
			t.Errorf("%d were granted after they had ended", n)
		}
		w.truth.pass(time.Hour)
		if s := d.clockStatus(t); !s.IsZero() {
			t.Errorf("status after the extension has ended: %+v", s)
		}
	})
}

// TestAnOperatorAcceptsAClockAndNothingIsGrantedTwice checks a start after 60 days without proof.
// Servers stay at their record until an operator accepts the clock. Units in use keep their
// remaining time, whether the operator was right or not.
func TestAnOperatorAcceptsAClockAndNothingIsGrantedTwice(t *testing.T) {
	const off = 60 * 24 * time.Hour
	for what, s := range map[string]struct {
		passed time.Duration
		start  start
	}{
		"60 days have passed":        {off, start{boot: "second"}},
		"the clock is 60 days ahead": {time.Minute, start{boot: "second", off: off, node: off}},
	} {
		t.Run(what, func(t *testing.T) {
			plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
				w.truth.pass(s.passed)
				d := w.start(t, s.start)
				d.tick(t)
				if st := d.clockStatus(t); !st.InDoubt || !strings.Contains(st.Reason, "clock accept") {
					t.Fatalf("status: %+v", st)
				}
				w.stop(t, d)
				config := w.config(t, s.start)
				if _, err := recovery.AcceptClock(t.Context(), config, ""); licensing.CodeOf(err) != licensing.Invalid {
					t.Errorf("without a reason: %v", err)
				}
				done, err := recovery.AcceptClock(t.Context(), config, "closed for the season")
				if err != nil || done.Kept < off-time.Hour {
					t.Fatalf("%+v %v", done, err)
				}
				if _, err := recovery.AcceptClock(t.Context(), config, "again"); licensing.CodeOf(err) != licensing.Conflict {
					t.Errorf("accepted again: %v", err)
				}
				if err := errors.Join(config.DB.StoreClock(t.Context()), config.DB.Close()); err != nil {
					t.Fatal(err)
				}
				delete(w.running, config.DB)

				d = w.start(t, s.start)
				d.tick(t)
				if n := d.fills(t, 10); n != 0 {
					t.Fatalf("%d were granted on a full pool", n)
				}
				if g := d.acquire(t, ask("big", 1)); g.Lease == nil || g.Lease.Granted.Sub(done.To).Abs() > time.Minute {
					t.Errorf("free units are granted with the clock's time: %+v", g)
				}
				if st := d.clockStatus(t); st.InDoubt || st.Kept == 0 {
					t.Errorf("status: %+v", st)
				}
				w.truth.pass(held[0].Lease.Due.Sub(held[0].Lease.Granted))
				d.tick(t)
				if n := d.fills(t, 20); n != 5 {
					t.Errorf("%d were granted after the old leases had ended", n)
				}
				if report, err := d.ledger.VerifyLog(t.Context(), owner()); err != nil || !report.Whole() {
					t.Errorf("the log: %+v, %v", report.Findings, err)
				}
			})
		})
	}
}

// TestAClockThatIsProvenLaterFreesWhatEnded synchronizes the kernel a minute after the start.
func TestAClockThatIsProvenLaterFreesWhatEnded(t *testing.T) {
	plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
		w.truth.pass(weekend)
		kernel := start{boot: "second"}
		d := w.start(t, kernel)
		r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: held[0].Lease.ID, Generation: 1, Nonce: "nonce-of-0"})
		if err != nil {
			t.Fatal(err)
		}
		w.truth.pass(time.Minute)
		d.tick(t)
		if n := d.fills(t, 10); n != 0 {
			t.Fatalf("%d were granted without a proof", n)
		}
		d.Authority.ledger.Clock.Machine.Synchronized = func() bool { return true }
		d.tick(t)
		d.tick(t)
		if n := d.fills(t, 20); n != 4 {
			t.Errorf("%d were granted next to the renewed lease", n)
		}
		if s := d.clockStatus(t); !s.IsZero() {
			t.Errorf("status: %+v", s)
		}
		w.truth.pass(r.Lease.Due.Sub(w.truth.Now()) + 2*time.Minute) // the others arrived a minute later
		d.tick(t)
		if counter, _, live := d.held(t, "seats"); counter != 0 || live != 0 {
			t.Errorf("%d in use by %d leases at the end", counter, live)
		}
		if report, err := d.ledger.VerifyLog(t.Context(), owner()); err != nil || !report.Whole() {
			t.Errorf("the log: %+v, %v", report.Findings, err)
		}
	})
}

// TestANeighborDoesNotAdoptADoubtedTime lets the database's clock jump while a server runs and
// another one starts on a second machine.
func TestANeighborDoesNotAdoptADoubtedTime(t *testing.T) {
	url := storetest.PostgresURL(t)
	newPlant(t, func() (*store.DB, error) { return postgres.Open(t.Context(), url, "") }, func(t *testing.T, w *plant, held []granting.Granted) {
		for _, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour, 29 * 24 * time.Hour, 400 * 24 * time.Hour} {
			a := w.start(t, start{boot: "first"})
			a.tick(t)
			wall := func() time.Time { return w.truth.Now().Add(jump) }
			a.ledger.DB.Now = wall
			started, stopped := make(chan struct{}), make(chan struct{})
			go func() { // a keeps running in the meantime
				defer close(stopped)
				tick := time.NewTicker(store.Watched / 20)
				defer tick.Stop()
				for {
					select {
					case <-started:
						return
					case <-tick.C:
						w.truth.pass(time.Second)
						if err := a.ledger.LookAtClock(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			}()
			b := w.start(t, start{boot: "of another", off: jump, node: jump})
			close(started)
			<-stopped
			for _, d := range []*testAuthority{a, b, a} {
				w.truth.pass(time.Second)
				d.tick(t)
				if off := d.ledger.DB.Latest().Sub(w.truth.Now()).Abs(); off > 5*time.Second {
					t.Errorf("by %v: the time is %v off", jump, off)
				}
				if n := d.fills(t, 10); n != 0 {
					t.Errorf("by %v: %d were granted on a full pool", jump, n)
				}
				if s := d.clockStatus(t); !s.InDoubt {
					t.Errorf("by %v: status %+v", jump, s)
				}
			}
			for _, g := range held { // they continue
				if _, err := b.Renew(t.Context(), b.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation, Nonce: ledger.NewID("nonce", w.truth.Now())}); err != nil {
					t.Fatal(err)
				}
				g.Lease.Generation++
			}
			a.ledger.DB.Now, b.ledger.DB.Now = w.truth.Now, w.truth.Now
			w.stop(t, a)
			w.stop(t, b)
		}
	})
}

// TestATransactionBeforeTheJudgeLeavesNoTrace checks that a read before there is a judge does not
// change the record.
func TestATransactionBeforeTheJudgeLeavesNoTrace(t *testing.T) {
	plants(t, func(t *testing.T, w *plant, _ []granting.Granted) {
		before := w.truth.Now()
		d := w.start(t, start{boot: "first", off: 2 * time.Hour, unstarted: true})
		if mark := d.ledger.DB.Mark(); mark.After(before) {
			t.Errorf("the record is %v after the stop", mark.Sub(before))
		}
	})
}

// TestAClockThatJumpsReclaimsNothing checks that a running server continues by the boot clock.
func TestAClockThatJumpsReclaimsNothing(t *testing.T) {
	at := stoppedAt
	boot := time.Duration(0)
	kernel := false
	c := &ledger.Clock{Machine: ledger.Machine{Boot: "a", Up: func() time.Duration { return boot }, Synchronized: func() bool { return kernel }},
		Skew: time.Minute, Mark: func() time.Time { return time.Time{} }}
	c.Begin(at)
	pass := func(d time.Duration, wall time.Time) time.Time {
		boot += d
		c.Ask()
		return c.Judge(wall)
	}
	if got := pass(time.Hour, at.Add(time.Hour+20*time.Second)); !got.Equal(at.Add(time.Hour+20*time.Second)) || c.Doubt() {
		t.Errorf("a slow correction: %v, doubt %v", got, c.Doubt())
	}
	at = at.Add(time.Hour + 20*time.Second)
	if got := pass(time.Second, at.Add(24*time.Hour)); !got.Equal(at.Add(time.Second)) || !c.Doubt() {
		t.Errorf("a jump of a day: %v, doubt %v", got, c.Doubt())
	}
	if got := pass(time.Second, at.Add(2*time.Second)); !got.Equal(at.Add(2*time.Second)) || c.Doubt() {
		t.Errorf("corrected: %v, doubt %v", got, c.Doubt())
	}
	at = at.Add(2 * time.Second)
	pass(0, at.Add(time.Hour))
	at = at.Add(licensing.ClockSteady)
	if got := pass(licensing.ClockSteady, at.Add(time.Hour)); !got.Equal(at) || !c.Doubt() {
		t.Errorf("fifteen steady minutes prove nothing: %v, doubt %v", got, c.Doubt())
	}
	kernel = true
	if got := pass(0, at.Add(time.Hour)); !got.Equal(at.Add(time.Hour)) || !c.Doubt() {
		t.Errorf("proven: %v, doubt %v: want the wall clock, and no reclaiming yet", got, c.Doubt())
	}
	at = at.Add(time.Hour)
	if pass(ledger.ClockSettle, at.Add(ledger.ClockSettle)); c.Doubt() {
		t.Error("still in doubt after holders could renew")
	}
	if pass(time.Second, at.Add(-24*time.Hour)); !c.Doubt() {
		t.Error("a clock that was set back is accepted")
	}
	if pass(licensing.ClockSteady*10, at.Add(-24*time.Hour+licensing.ClockSteady*10)); !c.Doubt() {
		t.Error("a clock that was set back was adopted")
	}
}

var stoppedAt = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// TestDocumentsFollowASteadyClockAndUnitsDoNot sets the clock of a running server forward, without
// proof.
func TestDocumentsFollowASteadyClockAndUnitsDoNot(t *testing.T) {
	plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
		d := w.start(t, start{boot: "first"})
		d.tick(t)
		d.ledger.DB.Now = func() time.Time { return w.truth.Now().Add(3 * time.Hour) }
		d.tick(t)
		w.truth.pass(licensing.ClockSteady)
		d.tick(t)
		follows := !d.ledger.DB.Shared() // other servers would have to follow at the same moment
		if ahead := d.ledger.DB.Latest().Sub(w.truth.Now()); (ahead > time.Hour) != follows {
			t.Errorf("after 15 minutes the time is %v ahead", ahead)
		}
		w.truth.pass(held[0].Lease.Due.Sub(w.truth.Now()) - time.Second)
		d.tick(t)
		if n := d.fills(t, 10); n != 0 {
			t.Errorf("%d were granted while other documents are valid", n)
		}
		w.truth.pass(time.Second)
		d.tick(t)
		if n := d.fills(t, 20); follows && n != 5 {
			t.Errorf("%d were granted after they have ended", n)
		}
	})
}

// TestAForcedLeaseAndAFenceAreKeptAsWell checks that every time limit that keeps units from others
// is extended by an unexplained time.
func TestAForcedLeaseAndAFenceAreKeptAsWell(t *testing.T) {
	plants(t, func(t *testing.T, w *plant, held []granting.Granted) {
		d := w.start(t, start{boot: "first"})
		if _, err := d.Release(t.Context(), access.System(testEnv, "test"), granting.ReleaseRequest{Lease: held[0].Lease.ID, Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			return tx.PutFence(t.Context(), store.Fence{Env: testEnv, Since: tx.Now(), Epoch: 1, Reason: "test"})
		}); err != nil {
			t.Fatal(err)
		}
		w.truth.pass(2 * time.Second)
		w.stop(t, d)
		d = w.start(t, start{boot: "second", off: 25 * 24 * time.Hour, node: 25 * 24 * time.Hour})
		d.tick(t)
		if counter, charged, live := d.held(t, "seats"); counter != 5 || charged != 5 || live != 4 {
			t.Errorf("counter %d, charged %d, live %d", counter, charged, live)
		}
		if _, err := d.Acquire(t.Context(), d.p, ask("big", 1)); licensing.CodeOf(err) != licensing.Unavailable {
			t.Errorf("the fence has ended: %v", err)
		}
		var forced licensing.Lease
		if err := d.ledger.View(t.Context(), func(tx *store.Tx) (err error) {
			forced, err = tx.Lease(t.Context(), store.LeaseKey{Env: testEnv, ID: held[0].Lease.ID})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if !forced.MayUse(d.ledger.DB.Latest(), d.ledger.Skew) {
			t.Errorf("its holder can no longer use it: %+v", forced)
		}
		w.truth.pass(held[0].Lease.Due.Sub(w.truth.Now()))
		d.tick(t)
		if counter, _, live := d.held(t, "seats"); counter != 0 || live != 0 {
			t.Errorf("%d units are in use by %d leases after all have ended", counter, live)
		}
	})
}

func (d *testAuthority) clockStatus(t *testing.T) v1.ClockStatus {
	t.Helper()
	s, err := d.Status(t.Context(), owner())
	if err != nil {
		t.Fatal(err)
	}
	if !s.Clock.IsZero() && s.Status == "ok" {
		t.Errorf("the clock is in doubt, but the status is ok: %+v", s.Clock)
	}
	return s.Clock
}
