package copyholdtest_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/copyholdtest"
	"copyhold.dev/sdk/license"
)

// An App is a vendor's program, which exports only if its license allows it.
type App struct{ License *copyhold.Client }

func (a App) Export() error {
	if d := a.License.Check("export"); d.Outcome != license.Allowed {
		return &copyhold.DecisionError{Decision: d}
	}
	return a.License.Record("exports", 1)
}

// This unit test of a gate in a vendor's program has ten lines.
func TestExportNeedsALicense(t *testing.T) {
	lic := copyholdtest.New(t, copyholdtest.Plan{Features: map[string]any{"export": true}, Meters: map[string]int64{"exports": 10}})
	app := App{License: lic.Client()}
	if err := app.Export(); err != nil || len(lic.Usage("exports")) != 1 {
		t.Errorf("with the feature: %v", err)
	}
	lic.SetFeature("export", false)
	if err := app.Export(); !errors.Is(err, copyhold.ErrDenied) || len(lic.Usage("exports")) != 1 {
		t.Errorf("without the feature: %v", err)
	}
}

func studio(t *testing.T) *copyholdtest.License {
	return copyholdtest.New(t, copyholdtest.Plan{
		Product:  "lathe",
		Features: map[string]any{"export": true, "layers": 50, "limit": int64(7), "theme": "dark", "off": false},
		Fallback: map[string]any{"layers": 5},
		Pools:    map[string]int64{"seats": 2},
		Meters:   map[string]int64{"calls": 3},
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func acquire(t *testing.T, c *copyhold.Client) *copyhold.Lease {
	t.Helper()
	seat, err := c.Acquire(t.Context(), "seats", copyhold.AcquireOptions{})
	must(t, err)
	return seat
}

func TestFeatures(t *testing.T) {
	lic := studio(t)
	c := lic.Client()
	if !c.Enabled("export") || c.Enabled("off") || c.Enabled("none") || c.Feature("layers").Int() != 50 || c.Feature("limit").Int() != 7 || c.Feature("theme").Text() != "dark" {
		t.Error(c.Why())
	}
	lic.SetFeature("layers", 99)
	lic.SetFeature("theme", nil)
	if c.Feature("layers").Int() != 99 || c.Enabled("theme") || !c.Enabled("export") {
		t.Error(c.Why())
	}
}

// Each state is reached as in production and can be left again.
func TestStates(t *testing.T) {
	lic := studio(t)
	c := lic.Client()
	for _, tc := range []struct {
		state  license.State
		code   string
		export bool
		layers int64
	}{
		{license.StateStale, license.CodeStale, true, 50},
		{license.StateGrace, license.CodeGrace, true, 50},
		{license.StateDegraded, license.CodeDegraded, false, 5},
		{license.StateValid, license.CodeOK, true, 50},
		{license.StateDenied, license.CodeSuspended, false, 0},
		{license.StateNone, license.CodeNotStarted, false, 0},
		{license.StateGrace, license.CodeGrace, true, 50},
		{license.StateValid, license.CodeOK, true, 50},
	} {
		lic.SetState(tc.state)
		s := c.Standing()
		if s.State != tc.state || s.Code != tc.code || c.Enabled("export") != tc.export || c.Feature("layers").Int() != tc.layers {
			t.Errorf("%s: %+v, export %v, %d layers", tc.state, s, c.Enabled("export"), c.Feature("layers").Int())
		}
	}
}

// Without a server, time moves the license down the ladder step by step.
func TestTimeWalksTheLadder(t *testing.T) {
	lic := studio(t)
	var told []license.State
	o := lic.Options()
	o.OnChange = func(c copyhold.Change) {
		if c.Lease == nil {
			told = append(told, c.To.State)
		}
	}
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	seat := acquire(t, c)
	lic.Advance(5 * 24 * time.Hour) // with a server, nothing happens
	if c.State() != license.StateValid || seat.State() != license.StateValid || lic.Held("seats") != 1 {
		t.Errorf("%s\n%s", seat.Decision(), c.Why())
	}
	began := lic.Now()
	lic.Offline()
	lic.Advance(20 * time.Minute)
	if seat.State() != license.StateGrace {
		t.Errorf("after 20 minutes without a server the seat is %s", seat.Decision())
	}
	lic.Advance(60 * 24 * time.Hour)
	if d := lic.Now().Sub(began); d != 60*24*time.Hour+20*time.Minute {
		t.Errorf("%v have passed", d)
	}
	if c.State() != license.StateDenied || seat.State() != license.StateDenied {
		t.Errorf("%s\n%s", seat.Decision(), c.Why())
	}
	lic.Online()
	if c.State() != license.StateValid {
		t.Error(c.Why())
	}
	must(t, c.Close())
	want := []license.State{license.StateValid, license.StateStale, license.StateGrace, license.StateDegraded, license.StateDenied, license.StateValid}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestPools(t *testing.T) {
	lic := studio(t)
	ann, bob := lic.Client(), lic.Client()
	first, second := acquire(t, ann), acquire(t, bob)
	_, err := ann.Acquire(t.Context(), "seats", copyhold.AcquireOptions{})
	var no *copyhold.DecisionError
	if !errors.Is(err, copyhold.ErrDenied) || !errors.As(err, &no) || no.Decision.Code != license.CodePoolFull || no.Decision.FreeTime().IsZero() {
		t.Errorf("a third seat of 2: %v", err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := ann.Acquire(context.Background(), "seats", copyhold.AcquireOptions{Wait: time.Hour})
		waited <- err
	}()
	must(t, second.Release(t.Context()))
	must(t, <-waited)
	if lic.Held("seats") != 2 {
		t.Errorf("%d seats are held", lic.Held("seats"))
	}
	must(t, first.Release(t.Context()))
	lic.Occupy("seats", 1)
	if _, err := bob.Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("a seat that somebody else holds: %v", err)
	}
	lic.SetPool("seats", 3)
	acquire(t, bob)
	for pool, code := range map[string]string{"seats": license.CodeTooManyUnits, "machines": license.CodeNoSuchPool} {
		if _, err := bob.Acquire(t.Context(), pool, copyhold.AcquireOptions{Units: 9}); !errors.As(err, &no) || no.Decision.Code != code {
			t.Errorf("%s: %v", pool, err)
		}
	}
	lic.Offline()
	if _, err := bob.Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) || errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("without a server: %v", err)
	}
}

func TestAFullPoolMayLeaveTheFallback(t *testing.T) {
	lic := copyholdtest.New(t, copyholdtest.Plan{
		Features: map[string]any{"layers": 50}, Fallback: map[string]any{"layers": 5}, Pools: map[string]int64{"seats": 0}, FullPool: "fallback",
	})
	c := lic.Client()
	if seat := acquire(t, c); !seat.Fallback() || c.Feature("layers").Int() != 5 {
		t.Errorf("%s, %d layers", seat.Decision(), c.Feature("layers").Int())
	}
}

func TestMeters(t *testing.T) {
	lic := studio(t)
	var refused []copyhold.UsageRefusal
	o := lic.Options()
	o.OnUsageRefused = func(r copyhold.UsageRefusal) { refused = append(refused, r) }
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	for range 2 {
		must(t, c.RecordUsage(copyhold.Usage{ID: "once", Meter: "calls", Quantity: "1.5"}))
	}
	if got := lic.Usage("calls"); len(got) != 1 || got[0].ID != "once" || got[0].Quantity != "1.5" {
		t.Errorf("counted %+v", got)
	}
	must(t, c.Record("calls", 2))
	if got := lic.Usage("calls"); len(got) != 1 || c.Quota("calls").Code != license.CodeQuotaSpent {
		t.Errorf("counted %+v, quota %s", got, c.Quota("calls"))
	}
	lic.SetMeter("calls", 100)
	must(t, c.Record("calls", 2))
	if got := lic.Usage("calls"); len(got) != 2 {
		t.Errorf("counted %+v", got)
	}
	if err := c.Record("hours", 1); !errors.Is(err, copyhold.ErrUsage) {
		t.Errorf("a meter that the license does not have: %v", err)
	}
	must(t, c.Close())
	if len(refused) != 1 || !errors.Is(refused[0].Err, copyhold.ErrDenied) {
		t.Errorf("refused %+v", refused)
	}
}

func TestRecall(t *testing.T) {
	lic := studio(t)
	recalled := make(chan copyhold.Recall, 1)
	o := lic.Options()
	o.OnRecall = func(r copyhold.Recall) { recalled <- r }
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	defer c.Close()
	seat := acquire(t, c)
	lic.Recall("seats", "the render farm needs it", time.Minute)
	if len(recalled) != 1 {
		t.Fatal("the program does not know")
	}
	if r := <-recalled; r.Reason != "the render farm needs it" || !r.Until.Equal(lic.Now().Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
	lic.Advance(2 * time.Minute)
	if d := seat.Decision(); d.Code != license.CodeRecalled || lic.Held("seats") != 0 {
		t.Errorf("%s, %d seats are held", d, lic.Held("seats"))
	}
}

func TestSetKeyWithALicenseForTests(t *testing.T) {
	lic := studio(t)
	o := lic.Options()
	o.Key, o.AllowNoKey = "", true
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	defer c.Close()
	if err := c.SetKey(t.Context(), studio(t).Key()); !errors.Is(err, copyhold.ErrKeyRefused) {
		t.Errorf("the key of another license: %v", err)
	}
	lic.SetState(license.StateDenied)
	if err := c.SetKey(t.Context(), lic.Key()); !errors.Is(err, copyhold.ErrDenied) || c.State() != license.StateNone {
		t.Errorf("a license that is suspended: %v, %s", err, c.State())
	}
	lic.SetState(license.StateValid)
	must(t, c.SetKey(t.Context(), lic.Key()))
	if !c.Enabled("export") {
		t.Error(c.Why())
	}
}

func TestACacheFolderOutlivesTheClient(t *testing.T) {
	lic := studio(t)
	o := lic.Options()
	o.CacheDir = t.TempDir()
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	must(t, c.Close())
	lic.Offline()
	c, err = copyhold.Open(t.Context(), o)
	must(t, err)
	defer c.Close()
	if !c.Enabled("export") {
		t.Error(c.Why())
	}
}

// A program with its vendor's root set accepts neither documents nor denials of a test license.
func TestAVendorsRootSetRefusesIt(t *testing.T) {
	lic, vendor := studio(t), studio(t)
	for _, state := range []license.State{license.StateValid, license.StateDenied} {
		lic.SetState(state)
		o := lic.Options()
		o.RootSet = vendor.Options().RootSet
		c, err := copyhold.Open(t.Context(), o)
		must(t, err)
		if c.State() != license.StateNone || c.Enabled("export") || c.Check("export").Outcome != license.Unavailable {
			t.Errorf("%s: believed\n%s", state, c.Why())
		}
		if _, err := c.Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) || errors.Is(err, copyhold.ErrDenied) {
			t.Errorf("%s: a seat: %v", state, err)
		}
		_ = c.Close()
	}
}

// A program that is not a test gets no license, however it calls New.
func TestAProgramThatIsNoTestGetsNothing(t *testing.T) {
	program := filepath.Join(t.TempDir(), "production.exe") // a name that Windows accepts, too
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/production").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "works only in test binaries") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAWrongPlanFailsTheTest(t *testing.T) {
	for name, p := range map[string]copyholdtest.Plan{
		"a feature of another type": {Features: map[string]any{"a": 1.5}},
		"a full pool":               {FullPool: "queue"},
	} {
		failed := &recorder{TB: t}
		done := make(chan struct{})
		go func() { defer close(done); copyholdtest.New(failed, p) }()
		<-done
		if failed.said == "" {
			t.Errorf("%s was taken", name)
		}
	}
}

// A recorder is a test that is expected to fail.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = format
	runtime.Goexit()
}
