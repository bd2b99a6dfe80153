package torture

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// signed summarizes all documents of one lease in the record.
type signed struct {
	units       int64
	first, last time.Time // earliest iat, latest exp
	pool        string
}

// readRecord returns the leases that the server signed, by id. The record is the ground truth:
// it also contains leases whose answers were lost.
func readRecord(t *testing.T, path string) map[string]*signed {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	leases := map[string]*signed{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		parts := strings.Split(lines.Text(), ".")
		if len(parts) != 3 {
			continue // a line that a kill truncated
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			continue
		}
		var c struct {
			Lease, Pool string
			Units       int64
			IssuedAt    int64 `json:"iat"`
			Expires     int64 `json:"exp"`
		}
		if json.Unmarshal(payload, &c) != nil || c.Lease == "" {
			continue
		}
		l := leases[c.Lease]
		if l == nil {
			l = &signed{units: c.Units, pool: c.Pool, first: time.Unix(c.IssuedAt, 0)}
			leases[c.Lease] = l
		}
		l.last = maxTime(l.last, time.Unix(c.Expires, 0))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(leases) == 0 {
		t.Fatal("the record contains no lease, so the sweep would prove nothing")
	}
	return leases
}

// sweep fails the test if at any time more units were certainly in use than the pool has. A
// lease is certainly in use from the time a client received it until the client sent its
// release. A lease that no client ever received counts from one second after its signature
// until its end.
func sweep(t *testing.T, record map[string]*signed, grants []*grant, capacity int64) {
	t.Helper()
	type edge struct {
		at    time.Time
		units int64
	}
	var edges []edge
	known := map[string]bool{}
	for _, g := range grants {
		s := record[g.Lease]
		if s == nil {
			t.Errorf("a client received lease %s, which is not in the record of signatures", g.Lease)
			continue
		}
		known[g.Lease] = true
		end := g.released
		if end.IsZero() {
			end = s.last
		}
		edges = append(edges, edge{g.acked, s.units}, edge{end, -s.units})
	}
	for id, s := range record {
		if !known[id] {
			edges = append(edges, edge{s.first.Add(time.Second), s.units}, edge{s.last, -s.units})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.units, b.units))
	})
	var held, peak int64
	for _, e := range edges {
		held += e.units
		peak = max(peak, held)
		if held > capacity {
			t.Fatalf("oversold: %d units in use at a capacity of %d at %s", held, capacity, e.at)
		}
	}
	t.Logf("sweep: %d leases signed, %d received by clients, peak %d of %d", len(record), len(known), peak, capacity)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
