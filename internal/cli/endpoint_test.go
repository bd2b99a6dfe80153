package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"copyhold.dev/sdk/license"
)

func TestWhatIsUnavailableIsAskedElsewhere(t *testing.T) {
	t.Parallel()
	denial := &problem{Status: 409, Code: "conflict", Decision: &license.Decision{Outcome: license.Denied}}
	away, unknown, overload := &problem{Code: codeUnavailable, Detail: "away"}, &problem{Code: codeUnknown}, &problem{Status: 503, Code: "internal"}
	for name, tc := range map[string]struct {
		answers map[string]error
		asked   string // of two requests, one after the other
		code    string // of the second
	}{
		"the first answers":            {nil, "a a", ""},
		"the first is away":            {map[string]error{"a": away}, "a b b", ""},
		"two are":                      {map[string]error{"a": overload, "b": unknown}, "a b c c", ""},
		"a denial is an answer":        {map[string]error{"a": denial}, "a a", "conflict"},
		"a refusal is an answer":       {map[string]error{"a": &problem{Status: 404, Code: "not_found"}}, "a a", "not_found"},
		"all are away":                 {map[string]error{"a": away, "b": away, "c": away}, "a b c a b c", codeUnavailable},
		"one may have done it, or not": {map[string]error{"a": away, "b": unknown, "c": away}, "a b c a b c", codeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &endpoints{urls: []string{"a", "b", "c"}}
			var asked []string
			var err error
			for range 2 {
				_, err = anywhere(t.Context(), e, func(base string) (string, error) {
					asked = append(asked, base)
					return base, tc.answers[base]
				})
			}
			code := ""
			if p, ok := asProblem(err); ok {
				code = p.Code
			}
			if got := strings.Join(asked, " "); got != tc.asked || code != tc.code {
				t.Errorf("asked %s, not %s: %v", got, tc.asked, err)
			}
		})
	}
	_, err := anywhere(t.Context(), &endpoints{urls: []string{"a", "b"}}, func(string) (int, error) { return 0, away })
	if p, _ := asProblem(err); p == nil || p.exitStatus() != exitUnavailable || !strings.Contains(p.Detail, "a: away") || !strings.Contains(p.Detail, "b: away") {
		t.Errorf("what each did is not told: %v", err)
	}
}

// A lossy server does what it is asked, but the answers to some requests get lost.
func lossy(t *testing.T, behind string, loses func(*http.Request) bool) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req, err := http.NewRequestWithContext(r.Context(), r.Method, behind+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header = r.Header.Clone()
		res, err := http.DefaultClient.Do(req)
		if err != nil || loses(r) {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A server that dies after it has done something and before it says so is one whose
// requests are repeated at the next, and nothing is done twice.
func TestLostAnswersAreFoundAtTheNextServer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var lost atomic.Int64
	first := lossy(t, "http://"+s.address, func(r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/leases") && r.URL.Path != "/v1/usage" {
			return false
		}
		lost.Add(1)
		return true
	})
	ask := func() *client {
		return newClient(&http.Client{}, settings{
			endpoints: &endpoints{urls: []string{first, "http://" + s.address}}, key: setting[secret]{value: secret(s.key)},
		}, patience)
	}
	want := seatRequest{RequestID: newRequestID(), Pool: "seats", Units: 1, Holder: holder{Kind: "user", ID: "ann"}, caller: caller{Instance: "here"}}
	a, err := ask().awaitSeat(t.Context(), want, func(string) {})
	must(t, err)
	var got seat
	must(t, a.decode(&got))
	renewed, err := ask().renewSeat(t.Context(), got, "a-nonce-of-one-renewal", want.caller)
	must(t, err)
	if renewed.ID != got.ID || renewed.Generation != got.Generation+1 {
		t.Errorf("renewed to generation %d of %s", renewed.Generation, renewed.ID)
	}
	must(t, ask().releaseSeat(t.Context(), renewed, "", want.caller))
	a, err = ask().do(t.Context(), call{as: byKey, method: http.MethodPost, path: "/v1/usage", body: map[string]any{
		"events": []any{map[string]any{"id": "one", "meter": "calls", "quantity": 1}},
	}})
	must(t, err)
	if !bytes.Contains(a.body, []byte(`"duplicate"`)) {
		t.Errorf("the event was counted again: %s", a.body)
	}
	if n := lost.Load(); n != 4 {
		t.Errorf("%d answers were lost, not 4", n)
	}
}

// The renewal whose answer was lost is the one that the release speaks of.
func TestASeatWhoseRenewalWasLostIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	direct := func(url string) *client {
		return newClient(&http.Client{}, settings{endpoints: &endpoints{urls: []string{url}}, key: setting[secret]{value: secret(s.key)}}, patience)
	}
	deaf := lossy(t, "http://"+s.address, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/renew") })
	k := &seatKeeper{server: direct(deaf), out: json.NewEncoder(io.Discard), want: seatRequest{
		RequestID: newRequestID(), Pool: "line", Units: 1, Holder: holder{Kind: "user", ID: "ann"}, caller: caller{Instance: "here"},
	}}
	var err error
	k.seat, err = k.acquire(t.Context())
	must(t, err)
	if _, err := k.renew(t.Context()); err == nil {
		t.Fatal("the renewal was answered")
	}
	k.release(t.Context())
	other := seatRequest{RequestID: newRequestID(), Pool: "line", Units: 1, Holder: holder{Kind: "user", ID: "bob"}, caller: caller{Instance: "there"}}
	if _, err := direct("http://"+s.address).awaitSeat(t.Context(), other, func(string) {}); err != nil {
		t.Errorf("the only unit was not given back: %v", err)
	}
}

// A page of something in between is no answer, whatever its status.
func TestAPageInBetweenIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusFound} {
		portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>Please log in</html>")
		}))
		t.Cleanup(portal.Close)
		for urls, want := range map[string]int{portal.URL: exitUnavailable, portal.URL + ",http://" + s.address: 0} {
			var errs bytes.Buffer
			got := Main(Program{
				Args:  []string{"copyhold", "check", "export"},
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Environ: []string{"COPYHOLD_LICENSE_KEY=" + s.key, "COPYHOLD_URL=" + urls},
			})
			if got != want {
				t.Errorf("%d: exit status %d, not %d: %s", status, got, want, &errs)
			}
		}
	}
}

// A server that takes a connection and says nothing holds nobody up where there is another.
func TestASilentServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	var errs bytes.Buffer
	status := Main(Program{
		Args:  []string{"copyhold", "check", "export", "--timeout", "10m"},
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs,
		Environ: []string{"COPYHOLD_LICENSE_KEY=" + s.key, "COPYHOLD_URL=http://" + silent.Addr().String() + ",http://" + s.address},
	})
	if status != 0 {
		t.Errorf("exit status %d: %s", status, &errs)
	}
}

func TestEndpointsAreReadFromAList(t *testing.T) {
	t.Parallel()
	e, err := parseEndpoints(setting[string]{value: "http://a:1/, https://b/licenses"})
	if err != nil || !slices.Equal(e.urls, []string{"http://a:1", "https://b/licenses"}) {
		t.Errorf("%v, %v", e, err)
	}
	for _, wrong := range []string{"http://a,", "a:1,http://b", "http://a,ftp://b"} {
		var bad *exit
		if _, err := parseEndpoints(setting[string]{wrong, "--url"}); !errors.As(err, &bad) || bad.status != exitUsage {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
