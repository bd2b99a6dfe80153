//go:build go1.25

package copyhold

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestEveryRequestCarriesWhatCalls checks what is sent over the network.
func TestEveryRequestCarriesWhatCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		seen := map[string]caller{}
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				var by caller
				_ = json.Unmarshal(body, &by)
				if q := r.URL.Query(); r.Method == http.MethodDelete {
					by = caller{q.Get("service"), q.Get("version"), q.Get("instance"), q.Get("region")}
				}
				mu.Lock()
				if path := r.URL.Path; strings.HasPrefix(path, "/v1/leases/") {
					seen[r.Method+" lease"] = by
				} else if r.Method != http.MethodGet {
					seen[r.Method+" "+path] = by
				}
				mu.Unlock()
				next.ServeHTTP(rw, r)
			})
		})
		o := w.options()
		o.Service, o.Version, o.Region, o.Instance = "mill", strings.Repeat("4.2 ", 60), "eu", "pod 1"
		c := w.open(t, o)
		l, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Record("calls", 1); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		want := caller{"mill", strings.Repeat("4.2_", 50), "pod_1", "eu"}
		for _, request := range []string{"POST /v1/validate", "POST /v1/leases", "POST lease", "DELETE lease", "POST /v1/usage"} {
			if seen[request] != want {
				t.Errorf("%s carries %+v", request, seen[request])
			}
		}
	})
}
