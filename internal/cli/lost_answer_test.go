package cli

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
)

// lossy returns a server that processes every request but loses the answers to some of them.
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

// If a server dies after it has processed a request but before it answers, the request is
// repeated at the next server, and nothing is done twice.
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
	ask := func() *client.Client {
		return client.New(&http.Client{}, client.Settings{
			Endpoints: client.At(first, "http://"+s.address), Key: client.Setting[client.Secret]{Value: client.Secret(s.key)},
		}, patience)
	}
	want := seat.Request{RequestID: seat.NewRequestID(), Pool: "seats", Units: 1, Holder: seat.Holder{Kind: "user", ID: "ann"}, Caller: seat.Caller{Instance: "here"}}
	a, err := seat.Acquire(t.Context(), ask(), want, func(string) {})
	must(t, err)
	var got seat.Seat
	must(t, a.Decode(&got))
	renewed, err := seat.Renew(t.Context(), ask(), got, "a-nonce-of-one-renewal", want.Caller)
	must(t, err)
	if renewed.ID != got.ID || renewed.Generation != got.Generation+1 {
		t.Errorf("renewed to generation %d of %s", renewed.Generation, renewed.ID)
	}
	must(t, seat.Release(t.Context(), ask(), renewed, "", want.Caller))
	a, err = ask().Do(t.Context(), client.Call{As: client.ByKey, Method: http.MethodPost, Path: "/v1/usage", Body: map[string]any{
		"events": []any{map[string]any{"id": "one", "meter": "calls", "quantity": 1}},
	}})
	must(t, err)
	if !bytes.Contains(a.Body, []byte(`"duplicate"`)) {
		t.Errorf("the event was counted again: %s", a.Body)
	}
	if n := lost.Load(); n != 4 {
		t.Errorf("%d answers were lost, not 4", n)
	}
}

// A page from something in between is not an answer, whatever its status.
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

// A server that accepts a connection but never answers delays nobody if there is another server.
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
