package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/sqlite"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// everyModel has all the models in one license.
const everyModel = `
product: lathe
plan: studio
name: Lathe Studio
term: {length: 1y, grace: 3d}
features: {export: true, api: true, max_layers: 50, theme: dark}
fallback: {export: false, max_layers: 5}
pools:
  seats:    {holder: user, capacity: 2, lease: 15m, grace: 1h, borrow: 30d, full: deny}
  line:     {holder: user, capacity: 1, lease: 15m, grace: 1h, full: queue}
  spare:    {holder: user, capacity: 1, lease: 15m, grace: 1h, full: fallback}
  cores:    {holder: workload, capacity: 8, lease: 15m, grace: 1h, full: deny}
  machines: {holder: machine, capacity: 2, lease: none, match: {need: 2, of: 3}, full: deny}
  users:    {holder: user, capacity: 2, lease: none, full: deny}
meters:
  calls: {unit: call, quota: 3, per: month, hard: 100%, full: deny}
  hours: {unit: hour, scale: 2, quota: 40, per: month, full: deny}
documents: {refresh: 1d, stale: 2d, life: 7d, grace: 14d, fallback: 30d}
`

// briefly is everyModel with documents short enough to walk the whole ladder.
var briefly = strings.Replace(everyModel, "refresh: 1d, stale: 2d, life: 7d, grace: 14d, fallback: 30d", "refresh: 1s, stale: 2s, life: 3s, grace: 2s, fallback: 2s", 1)

// patience is how long a test waits for something that must happen. Tests do not check how soon
// it happens, because the machine may be busy.
const patience = 5 * time.Minute

// A shop is a real server with a license of everyModel, for programs with the SDK.
type shop struct {
	*authority.Authority
	owner   access.Principal
	token   string // of the owner
	license licensing.LicenseID
	key     string
	root    []byte
	sealing *signing.SealingKey
	address string
	door    net.Listener // kept open for the whole test, because another process could take a free address
	handler http.Handler
	room    atomic.Pointer[room]
	server  atomic.Pointer[http.Server]
	asked   atomic.Int64 // number of answered validations
}

func newShop(t *testing.T) *shop {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "copyhold.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	sealing, err := signing.NewSealingKey()
	must(t, err)
	log, instruments := slog.New(slog.DiscardHandler), metrics.New(time.Now)
	s := &shop{owner: access.System("production", "test"), sealing: sealing}
	s.Authority = authority.New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Log: log, Metrics: instruments})
	t.Cleanup(s.Authority.Close)
	must(t, s.Start(t.Context()))
	_, err = s.Bootstrap(t.Context(), []licensing.Environment{{Name: "production", Kind: licensing.Production}}, func(token string) error {
		s.token = token
		return nil
	})
	must(t, err)
	_, err = s.CreateProduct(t.Context(), s.owner, licensing.Product{Name: "lathe", Title: "Lathe",
		Owner: licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}})
	must(t, err)
	s.apply(t, everyModel, "new")
	customer, err := s.CreateCustomer(t.Context(), s.owner, licensing.Customer{Name: "Example"})
	must(t, err)
	issued, err := s.IssueLicense(t.Context(), s.owner, v1.IssueRequest{Customer: customer.ID, Plan: "studio"})
	must(t, err)
	s.license, s.key = issued.License.ID, issued.Key.Text
	s.root, err = json.Marshal(s.RootSet("production"))
	must(t, err)
	runJobs(t, s.Authority)
	s.handler, err = api.New(api.Config{Authority: s.Authority, Metrics: instruments, Log: log, Now: time.Now, Version: "test"})
	must(t, err)
	s.door, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = s.door.Close() })
	s.address = s.door.Addr().String()
	s.up()
	go s.admit()
	t.Cleanup(s.down)
	return s
}

// runJobs runs the jobs of a server, and none of its other background tasks.
func runJobs(t *testing.T, a *authority.Authority) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, task := range a.Jobs.Tasks() {
		running.Go(func() { task.Run(ctx) })
	}
	t.Cleanup(func() { stop(); running.Wait() })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shop) apply(t *testing.T, plan, licenses string) {
	t.Helper()
	_, err := s.ApplyPlans(t.Context(), s.owner, v1.ApplyRequest{Files: []policy.File{{Name: "studio.yaml", Text: plan}}, Licenses: licenses})
	must(t, err)
}

// A room is a listener that a server uses until it is closed.
type room struct {
	net.Listener // of the door
	conns        chan net.Conn
	closed       chan struct{}
	once         sync.Once
}

func (r *room) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *room) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// admit passes connections to the running server, and closes them if there is none.
func (s *shop) admit() {
	for {
		c, err := s.door.Accept()
		if err != nil {
			return
		}
		r := s.room.Load()
		select {
		case r.conns <- c:
		case <-r.closed:
			_ = c.Close()
		}
	}
}

// up starts a server on the same address as before.
func (s *shop) up() {
	listener := &room{Listener: s.door, conns: make(chan net.Conn), closed: make(chan struct{})}
	handler := s.handler
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if r.URL.Path == "/v1/validate" {
			s.asked.Add(1)
		}
	})}
	s.server.Store(server)
	s.room.Store(listener)
	go func() { _ = server.Serve(listener) }()
}

// down closes the server and all its connections at once.
func (s *shop) down() { _ = s.server.Load().Close() }

// hurry gives the license's only program documents that end soon. The first answer may already
// have been on its way. The second contains them, and the program sends its third request only
// after it has read the second answer.
func (s *shop) hurry(t *testing.T) {
	t.Helper()
	s.apply(t, briefly, "all")
	before := s.asked.Load()
	eventually(t, patience, func() bool { return s.asked.Load() >= before+3 })
}

// program starts a program with the SDK; change may be nil.
func (s *shop) program(t *testing.T, o copyhold.Options, change func(copyhold.Change)) *copyhold.Client {
	t.Helper()
	if o.LicenseFile == "" {
		o.Endpoints, o.Key = []string{"http://" + s.address}, s.key
	}
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	o.Product, o.RootSet, o.OnChange = "lathe", s.root, change
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The list of revocations states what a revoked license leaves to programs. The signed denial of a
// validation and the document only state that it is revoked, and do not change that.
func TestSDKARevocationLeavesTheFallback(t *testing.T) {
	t.Parallel()
	for fallback, want := range map[bool]license.State{true: license.StateDegraded, false: license.StateDenied} {
		s := newShop(t)
		c := s.program(t, copyhold.Options{User: "ann"}, nil)
		s.acquire(t, c, "seats", copyhold.AcquireOptions{})
		_, err := s.RevokeLicense(t.Context(), s.owner, s.license, v1.RevokeRequest{Reason: "by agreement", Fallback: fallback})
		must(t, err)
		eventually(t, patience, func() bool { return c.State() == want })
		for name, c := range map[string]*copyhold.Client{"running": c, "started since": s.program(t, copyhold.Options{User: "bob"}, nil)} {
			eventually(t, patience, func() bool { return c.State() == want })
			layers := int64(0)
			if fallback {
				layers = 5
			}
			if c.Enabled("export") || c.Feature("max_layers").Int() != layers {
				t.Errorf("%s, fallback %v:\n%s", name, fallback, c.Why())
			}
			if _, err := c.Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrDenied) {
				t.Errorf("%s, fallback %v: a seat: %v", name, fallback, err)
			}
		}
	}
}

func TestSDKEveryModel(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := s.program(t, copyhold.Options{User: "ann"}, nil)
	if c.State() != license.StateValid || !c.Enabled("export") || c.Feature("max_layers").Int() != 50 || c.Feature("theme").Text() != "dark" {
		t.Fatalf("features:\n%s", c.Why())
	}
	t.Run("seats", func(t *testing.T) {
		ann := s.acquire(t, c, "seats", copyhold.AcquireOptions{})
		bob := s.acquire(t, c, "seats", copyhold.AcquireOptions{Holder: &copyhold.Holder{Kind: copyhold.KindUser, ID: "bob"}})
		_, err := c.Acquire(t.Context(), "seats", copyhold.AcquireOptions{Holder: &copyhold.Holder{Kind: copyhold.KindUser, ID: "cy"}})
		if !errors.Is(err, copyhold.ErrDenied) {
			t.Errorf("a third seat of two: %v", err)
		}
		must(t, ann.Release(t.Context()))
		borrowed := s.acquire(t, c, "seats", copyhold.AcquireOptions{For: 24 * time.Hour})
		must(t, borrowed.Release(t.Context()))
		must(t, bob.Release(t.Context()))
	})
	t.Run("queue", func(t *testing.T) {
		first := s.acquire(t, c, "line", copyhold.AcquireOptions{})
		if _, err := c.Acquire(t.Context(), "line", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrDenied) {
			t.Errorf("without waiting: %v", err)
		}
		got := make(chan error, 1)
		go func() {
			second, err := c.Acquire(t.Context(), "line", copyhold.AcquireOptions{Wait: time.Minute})
			if err == nil {
				err = second.Release(t.Context())
			}
			got <- err
		}()
		must(t, first.Release(t.Context()))
		must(t, <-got)
	})
	t.Run("fallback", func(t *testing.T) {
		first := s.acquire(t, c, "spare", copyhold.AcquireOptions{})
		second := s.acquire(t, c, "spare", copyhold.AcquireOptions{})
		if !second.Fallback() || c.Enabled("export") || c.Feature("max_layers").Int() != 5 {
			t.Errorf("a full pool: %+v", second.Decision())
		}
		must(t, second.Release(t.Context()))
		must(t, first.Release(t.Context()))
	})
	t.Run("units", func(t *testing.T) {
		six := s.acquire(t, c, "cores", copyhold.AcquireOptions{Units: 6})
		if _, err := c.Acquire(t.Context(), "cores", copyhold.AcquireOptions{Units: 3}); !errors.Is(err, copyhold.ErrDenied) {
			t.Errorf("9 of 8 cores: %v", err)
		}
		must(t, six.Release(t.Context()))
	})
	t.Run("machines", func(t *testing.T) {
		machine := &copyhold.Holder{Kind: copyhold.KindMachine, ID: "m1", Components: map[string]string{"board": "b1", "drive": "d1", "network": "n1"}}
		first := s.acquire(t, c, "machines", copyhold.AcquireOptions{Holder: machine})
		again := s.acquire(t, c, "machines", copyhold.AcquireOptions{Holder: machine})
		if first != again {
			t.Error("one machine counts twice")
		}
	})
	t.Run("users", func(t *testing.T) {
		s.acquire(t, c, "users", copyhold.AcquireOptions{})
	})
	t.Run("a meter that refuses", func(t *testing.T) {
		c := s.program(t, copyhold.Options{}, nil)
		must(t, c.RecordUsage(copyhold.Usage{ID: "old", Meter: "calls", Quantity: "1", At: time.Now().AddDate(-1, 0, 0)}))
		must(t, c.Close())
		if n := c.Why().Usage; n != 0 {
			t.Errorf("an event that no server accepts waits forever")
		}
	})
	t.Run("meters", func(t *testing.T) {
		for i := range 5 {
			must(t, c.RecordUsage(copyhold.Usage{ID: fmt.Sprint("call-", i), Meter: "calls", Quantity: "1"}))
		}
		must(t, c.RecordUsage(copyhold.Usage{ID: "h", Meter: "hours", Quantity: "1.25"}))
		must(t, c.RecordUsage(copyhold.Usage{ID: "wrong", Meter: "hours", Quantity: "1.234567"}))
		must(t, c.Close())
		if n := c.Why().Usage; n != 0 {
			t.Errorf("%d events wait after Close", n)
		}
		if d := c.Quota("calls"); d.Outcome != license.Denied || d.Code != license.CodeQuotaSpent {
			t.Errorf("5 calls of 3: %+v", d)
		}
	})
}

// A program with an older license document records decimals in the meter's unit, so that they
// count correctly at any scale that the server uses by then.
func TestSDKUsageRecordedBeforeAScaleRoseCountsAsWhatItWas(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := s.program(t, copyhold.Options{}, nil)
	must(t, c.RecordUsage(copyhold.Usage{ID: "before", Meter: "hours", Quantity: "1.25"}))
	s.apply(t, strings.Replace(everyModel, "unit: hour, scale: 2", "unit: hour, scale: 4", 1), "all")
	must(t, c.RecordUsage(copyhold.Usage{ID: "after", Meter: "hours", Quantity: "0.0625"}))
	must(t, c.Close())
	used, err := s.ListUsage(t.Context(), s.owner, authority.UsageFilter{Meter: "hours"}, request.PageOf{})
	if err != nil || len(used.Items) != 1 || used.Items[0].Used != "1.3125" || used.Items[0].Quota != "40" || used.Items[0].Events != 2 {
		t.Errorf("%+v, %v", used.Items, err)
	}
}

func (s *shop) acquire(t *testing.T, c *copyhold.Client, pool string, o copyhold.AcquireOptions) *copyhold.Lease {
	t.Helper()
	l, err := c.Acquire(t.Context(), pool, o)
	must(t, err)
	return l
}

// until waits for a change to a state.
func until(t *testing.T, changes <-chan copyhold.Change, want license.State) copyhold.Change {
	t.Helper()
	for {
		if c := next(t, changes); c.To.State == want {
			return c
		}
	}
}

// next returns the next change of the license.
func next(t *testing.T, changes <-chan copyhold.Change) copyhold.Change {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case c := <-changes:
			if c.Lease == nil {
				return c
			}
		case <-timeout:
			t.Fatalf("nothing changed within %v", patience)
		}
	}
}

// rungs are the states from best to worst.
var rungs = []license.State{license.StateValid, license.StateStale, license.StateGrace, license.StateDegraded, license.StateDenied}

// worse reports whether a state is below another on the ladder.
func worse(s, than license.State) bool { return slices.Index(rungs, s) > slices.Index(rungs, than) }

// descend follows a program down to denied. Between two answers of the server, no state occurs
// twice or before its date, and the feature export matches the state. A program that was delayed
// for longer than a state lasts skips that state.
func descend(t *testing.T, c *copyhold.Client, changes <-chan copyhold.Change, on func(copyhold.Change)) {
	t.Helper()
	for at := license.StateNone; at != license.StateDenied; {
		ch := next(t, changes)
		was := at
		if at = ch.To.State; at == license.StateValid {
			continue
		}
		if !worse(at, was) {
			t.Fatalf("%s after %s", at, was)
		}
		if early := time.Until(time.Unix(ch.From.NextAt, 0)); early > 0 {
			t.Errorf("%s began %v before its date", at, early)
		}
		if d := c.Check("export"); (d.Outcome == license.Allowed) != d.State.Full() {
			t.Errorf("%s: export is %+v", at, d)
		}
		on(ch)
	}
	if c.State() != license.StateDenied || c.Enabled("export") {
		t.Errorf("denied:\n%s", c.Why())
	}
}

// While the server is stopped, the program walks the ladder at the dates in its document. It is
// valid again soon after the server is back.
func TestSDKWalksTheLadderAndRecovers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	changes := make(chan copyhold.Change, 100)
	c := s.program(t, copyhold.Options{}, func(ch copyhold.Change) { changes <- ch })
	s.hurry(t)
	s.down()
	descend(t, c, changes, func(copyhold.Change) {})
	s.up()
	until(t, changes, license.StateValid)
}

// A vendor's change reaches a connected program long before its next regular request.
func TestSDKHearsOfChanges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	changes := make(chan copyhold.Change, 100)
	c := s.program(t, copyhold.Options{}, func(ch copyhold.Change) { changes <- ch })
	until(t, changes, license.StateValid)
	for range 2 {
		_, err := s.SuspendLicense(t.Context(), s.owner, s.license, "unpaid")
		must(t, err)
		if ch := until(t, changes, license.StateDenied); ch.To.Code != license.CodeSuspended {
			t.Errorf("%+v", ch.To)
		}
		_, err = s.ReinstateLicense(t.Context(), s.owner, s.license, "paid")
		must(t, err)
		until(t, changes, license.StateValid)
	}
	_, err := s.RevokeLicense(t.Context(), s.owner, s.license, v1.RevokeRequest{Reason: "fraud"})
	must(t, err)
	until(t, changes, license.StateDenied)
	if c.Enabled("export") {
		t.Error("a revoked license grants")
	}
}

// An exported license works without any server.
func TestSDKWorksFromAnExportedLicense(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	b, err := s.ExportLicense(t.Context(), s.owner, s.license, request.Holder{})
	must(t, err)
	s.down()
	text, err := license.EncodeBundle(b)
	must(t, err)
	for name, content := range map[string][]byte{"json": text, "armour": license.Armor(text)} {
		file := filepath.Join(t.TempDir(), "acme.license")
		must(t, os.WriteFile(file, content, 0o600))
		c := s.program(t, copyhold.Options{LicenseFile: file}, nil)
		if c.State() != license.StateValid || !c.Enabled("export") {
			t.Errorf("%s:\n%s", name, c.Why())
		}
	}
}

func TestSDKARequestThatCannotBeRightIsNoOutage(t *testing.T) {
	s := newShop(t)
	c := s.program(t, copyhold.Options{}, nil)
	_, err := c.Acquire(t.Context(), "seats", copyhold.AcquireOptions{Holder: &copyhold.Holder{Kind: copyhold.KindUser, ID: " ann"}})
	if !errors.Is(err, copyhold.ErrRequest) || errors.Is(err, copyhold.ErrUnavailable) || !strings.Contains(err.Error(), "holder.id contains spaces") {
		t.Errorf("a holder's id with a space: %v", err)
	}
	s.acquire(t, c, "seats", copyhold.AcquireOptions{})
}
