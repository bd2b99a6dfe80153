package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
)

// bareServer returns a server without routes of licensing, to which a test adds its own.
func bareServer(t *testing.T, log io.Writer) *server {
	t.Helper()
	a := authority.New(ledger.Config{DB: storetest.SQLite(t), Ring: signing.NewRing(nil)})
	t.Cleanup(a.Close)
	h, err := New(Config{Authority: a, Metrics: metrics.New(time.Now), Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return h.server
}

func do(t *testing.T, s *server, r *http.Request) (*httptest.ResponseRecorder, Problem) {
	t.Helper()
	w := httptest.NewRecorder()
	s.observe(s.admit(s.mux)).ServeHTTP(w, r)
	var p Problem
	if w.Header().Get("Content-Type") == problemType {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.Status != w.Code || p.Code == "" || p.Type == "" || p.Title == "" || p.Detail == "" || p.Instance == "" {
			t.Errorf("an incomplete problem: %s", w.Body)
		}
	}
	return w, p
}

func httpRequest(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

type echo struct {
	Body struct {
		Text string            `json:"text" maxLength:"5"`
		Any  map[string]string `json:"any,omitempty"`
	}
}

type program struct {
	Text string `json:"text"`
}

func addEcho(s *server) {
	handle(s, route{ID: "echo", Method: "POST", Path: "/v1/echo", Summary: "Echo", Tag: "test", Permission: access.Public, Body: 200},
		func(_ context.Context, _ access.Principal, in *echo) (*echo, error) {
			switch in.Body.Text {
			case "panic":
				panic("canary")
			case "gone":
				return nil, licensing.Errorf(licensing.Gone, "it is gone")
			case "wrong":
				return nil, io.ErrUnexpectedEOF
			}
			return in, nil
		})
	serve(s, route{ID: "echo-program", Method: "POST", Path: "/v1/program", Summary: "Echo", Tag: "test", Permission: access.Public, Body: 200},
		nil, nil, func(c *call, _ *http.Request, in *program) error {
			if in.Text == "panic" {
				panic("canary")
			}
			s.writeJSON(c, 200, "application/json", in)
			return nil
		})
}

func TestARouteWithoutPermissionDoesNotStart(t *testing.T) {
	s := bareServer(t, io.Discard)
	none := func(context.Context, access.Principal, *struct{}) (*struct{}, error) { return nil, nil }
	handle(s, route{ID: "a", Method: "GET", Path: "/v1/a", Summary: "A", Tag: "test"}, none)
	handle(s, route{ID: "b", Method: "GET", Path: "/v1/b", Summary: "B", Tag: "test", Permission: "license:wish"}, none)
	if len(s.faults) != 2 {
		t.Errorf("%v", s.faults)
	}
	s.faults = nil
	(&guardedMux{s}).HandleFunc("GET /v1/hidden", nil)
	if len(s.faults) != 1 {
		t.Error("a route that the server does not know would start")
	}
}

func TestEveryErrorIsAProblem(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	large := `{"text":"` + strings.Repeat("a", 300) + `"}`
	for _, tc := range []struct {
		name   string
		req    *http.Request
		status int
		code   licensing.Code
	}{
		{"no such path", httpRequest(t, "GET", "/nowhere", ""), 404, licensing.NotFound},
		{"wrong method", httpRequest(t, "GET", "/v1/echo", ""), 405, licensing.Invalid},
		{"not JSON", httpRequest(t, "POST", "/v1/echo", "{"), 400, licensing.Invalid},
		{"member twice", httpRequest(t, "POST", "/v1/echo", `{"text":"a","Text":"b"}`), 400, licensing.Invalid},
		{"data after the end", httpRequest(t, "POST", "/v1/echo", `{"text":"a"}{}`), 400, licensing.Invalid},
		{"not UTF-8", httpRequest(t, "POST", "/v1/echo", "{\"text\":\"\xff\"}"), 400, licensing.Invalid},
		{"unknown member", httpRequest(t, "POST", "/v1/echo", `{"text":"a","canary":1}`), 422, licensing.Invalid},
		{"too long", httpRequest(t, "POST", "/v1/echo", `{"text":"canary"}`), 422, licensing.Invalid},
		{"too large", httpRequest(t, "POST", "/v1/echo", large), 413, licensing.TooLarge},
		{"too large, program", httpRequest(t, "POST", "/v1/program", large), 413, licensing.TooLarge},
		{"not JSON, program", httpRequest(t, "POST", "/v1/program", "{"), 400, licensing.Invalid},
		{"no body", httpRequest(t, "POST", "/v1/echo", ""), 400, licensing.Invalid},
		{"of the rules", httpRequest(t, "POST", "/v1/echo", `{"text":"gone"}`), 410, licensing.Gone},
		{"ours", httpRequest(t, "POST", "/v1/echo", `{"text":"wrong"}`), 500, licensing.Internal},
		{"panic", httpRequest(t, "POST", "/v1/echo", `{"text":"panic"}`), 500, licensing.Internal},
		{"panic, program", httpRequest(t, "POST", "/v1/program", `{"text":"panic"}`), 500, licensing.Internal},
		{"no credential", httpRequest(t, "GET", "/metrics", ""), 401, licensing.Unauthenticated},
	} {
		w, p := do(t, s, tc.req)
		if w.Code != tc.status || p.Code != tc.code {
			t.Errorf("%s: %d %s, want %d %s: %s", tc.name, w.Code, p.Code, tc.status, tc.code, w.Body)
		}
		if strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: the answer repeats the request: %s", tc.name, w.Body)
		}
	}
}

func TestAnnouncedAndUnannouncedSizesAreBounded(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	for _, path := range []string{"/v1/echo", "/v1/program"} {
		r := httpRequest(t, "POST", path, strings.Repeat(" ", 1<<20))
		r.ContentLength = -1
		if w, _ := do(t, s, r); w.Code != 413 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestOnlyJSONIsRead(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	for kind, want := range map[string]int{"text/plain": 415, "": 415, "application/x-www-form-urlencoded": 415,
		"application/json; charset=utf-8": 200, "application/json": 200} {
		for _, path := range []string{"/v1/echo", "/v1/program"} {
			r := httpRequest(t, "POST", path, `{"text":"a"}`)
			r.Header.Set("Content-Type", kind)
			if w, _ := do(t, s, r); w.Code != want {
				t.Errorf("%s as %q: %d, want %d", path, kind, w.Code, want)
			}
		}
	}
}

func TestACompressedBodyIsRefusedAsSuch(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	for coding, want := range map[string]int{"gzip": 415, "br": 415, "identity": 200} {
		for _, path := range []string{"/v1/echo", "/v1/program"} {
			r := httpRequest(t, "POST", path, `{"text":"a"}`)
			r.Header.Set("Content-Encoding", coding)
			w, _ := do(t, s, r)
			if w.Code != want || want == 415 && w.Header().Get("Accept-Encoding") != "identity" {
				t.Errorf("%s as %s: %d %v", path, coding, w.Code, w.Header())
			}
		}
	}
}

func TestNullIsRefusedInWords(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	for _, path := range []string{"/v1/echo", "/v1/program"} {
		w, _ := do(t, s, httpRequest(t, "POST", path, `{"text":null}`))
		if w.Code != 400 && w.Code != 422 || !strings.Contains(w.Body.String(), "null") || !strings.Contains(w.Body.String(), "omit") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestANameThatIsNotTheServersIsRefused(t *testing.T) {
	s := bareServer(t, io.Discard)
	s.Hosts = []string{"licenses.example.com"}
	for host, want := range map[string]int{"localhost:7400": 200, "127.0.0.1": 200, "[::1]:7400": 200,
		"licenses.EXAMPLE.com:443": 200, "LOCALHOST": 200, "LocalHost:7400": 200, "licenses.example.com.": 200, "evil.example.com": 421, "localhost.evil.com": 421, "": 200} {
		r := httpRequest(t, "GET", "/healthz", "")
		r.Host = host
		if w, _ := do(t, s, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestAPageOfAnotherOriginCannotWrite(t *testing.T) {
	s := bareServer(t, io.Discard)
	addEcho(s)
	for header, want := range map[string]int{"Origin: https://evil.example.com": 403, "Sec-Fetch-Site: cross-site": 403,
		"Origin: http://localhost": 200, "X-None: 1": 200} {
		r := httpRequest(t, "POST", "/v1/echo", `{"text":"a"}`)
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
		if w, _ := do(t, s, r); w.Code != want {
			t.Errorf("%s: %d, want %d", header, w.Code, want)
		}
	}
}

func TestForwardedAddressesAreBelievedOfProxiesOnly(t *testing.T) {
	s := bareServer(t, io.Discard)
	s.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tc := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1", "198.51.100.1", "192.0.2.1"},
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"[2001:db8::1]:1", "", "2001:db8::/64"},
		{"[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
	} {
		r := httpRequest(t, "GET", "/", "")
		r.RemoteAddr = tc.peer
		r.Header.Set("X-Forwarded-For", tc.forwarded)
		if got := s.address(r); got != tc.want {
			t.Errorf("%s for %s: %s, want %s", tc.peer, tc.forwarded, got, tc.want)
		}
	}
}

func TestTheLogHoldsNoSecret(t *testing.T) {
	var log bytes.Buffer
	s := bareServer(t, &log)
	addEcho(s)
	r := httpRequest(t, "POST", "/v1/echo?token=canary", `{"text":"canary"}`)
	r.Header.Set("Authorization", "License canary")
	r.Header.Set("Cookie", "canary")
	do(t, s, r)
	r = httpRequest(t, "GET", "/metrics", "")
	r.Header.Set("Authorization", "Bearer canary")
	do(t, s, r)
	if !strings.Contains(log.String(), "path=/v1/echo") || strings.Contains(log.String(), "canary") {
		t.Error(log.String())
	}
}

// TestFewReadTheMetricsAtOnce: a caller beyond the limit is told when to come back.
func TestFewReadTheMetricsAtOnce(t *testing.T) {
	s := bareServer(t, io.Discard)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave })
	s.mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) { s.scrape(w, r, slow) })
	var reading sync.WaitGroup
	for range maxScrapes {
		reading.Go(func() { do(t, s, httpRequest(t, "GET", "/slow", "")) })
		<-entered
	}
	w, p := do(t, s, httpRequest(t, "GET", "/slow", ""))
	if w.Code != http.StatusServiceUnavailable || p.Code != licensing.Unavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	close(leave)
	reading.Wait()
	reading.Go(func() { <-entered })
	if w, _ := do(t, s, httpRequest(t, "GET", "/slow", "")); w.Code != http.StatusOK {
		t.Errorf("afterward: %d", w.Code)
	}
	reading.Wait()
}

func TestWhatMattersLeastIsShedFirst(t *testing.T) {
	s := newShedder(10, nil)
	inside := map[licensing.Class]int{}
	for c := administer; c <= release; c++ {
		for s.enter(c) {
			inside[c]++
		}
	}
	want := map[licensing.Class]int{administer: 5, acquire: 2, usage: 1, renew: 1, release: 1}
	for c, n := range want {
		if inside[c] != n {
			t.Errorf("%s: %d entered, want %d", c, inside[c], n)
		}
	}
	if !s.enter(critical) {
		t.Error("health was refused")
	}
}

func TestGuessingIsThrottledAndRemembersLittle(t *testing.T) {
	now := time.Unix(1, 0)
	th := newThrottle(Limits{BadPerAddress: 10, BadPerPrefix: 5, RememberedKeys: 100}.withDefaults(), nil, func() time.Time { return now })
	tries := 0
	for range 1000 {
		if _, ok := th.mayTry("192.0.2.1", "CH-AAAAA"); ok {
			th.failed("192.0.2.1", "CH-AAAAA")
			tries++
		}
	}
	if tries > 20 {
		t.Errorf("%d guesses were looked up", tries)
	}
	if _, ok := th.mayTry("192.0.2.2", "CH-AAAAA"); !ok {
		t.Error("guessing at a key from one address locked its owner out")
	}
	th.failed("192.0.2.3", "CH-BBBBB")
	if _, ok := th.mayTry("192.0.2.3", "CH-AAAAA"); ok {
		t.Error("a key that is guessed at is open to who guesses")
	}
	for i := range 10_000 {
		th.failed(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), "CH-CCCCC")
	}
	if n := len(th.addresses.byName); n > 100 {
		t.Errorf("%d addresses are remembered", n)
	}
	now = now.Add(10 * time.Second)
	if _, ok := th.mayTry("192.0.2.1", "CH-AAAAA"); !ok {
		t.Error("an address is never forgiven")
	}
}
