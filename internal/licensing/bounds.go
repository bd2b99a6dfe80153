package licensing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// Skew is the tolerated difference between the clocks of a server and of programs, unless a
// deployment sets another. Units are reclaimed only this long after a lease ends.
const Skew Span = license.Epsilon

// Notice is the longest time until a connected client hears of a change.
const Notice Span = 10

// Bounds are the worst cases that follow from a plan's numbers.
type Bounds struct {
	// Connected is how long a connected client keeps a revoked right.
	Connected Span `json:"connected"`
	// Revocation is how long full function can continue after a revocation, for
	// a client that never reaches a server again.
	Revocation Span `json:"revocation"`
	// Cause is what determines Revocation: documents, or a pool.
	Cause string `json:"cause"`
	// Ended is when the fallback of such a client has ended too.
	Ended Span `json:"ended"`
	// Reclaim is, for each pool, how long a lost holder keeps its units.
	Reclaim map[string]Reclaim `json:"reclaim,omitempty"`
}

// A Reclaim is how long the units of a lost holder stay in use.
type Reclaim struct {
	Endless  bool `json:"endless,omitempty"`  // until somebody releases them
	After    Span `json:"after,omitempty"`    // for a renewed lease
	Borrowed Span `json:"borrowed,omitempty"` // for the longest borrowing, 0 if there is none
}

// Bounds computes p's worst cases if clocks differ by at most skew, which is rounded up
// to whole seconds.
func (p Plan) Bounds(skew time.Duration) Bounds {
	d, skewed := p.Documents, Span((skew+time.Second-1)/time.Second)
	b := Bounds{Connected: Notice, Revocation: d.Life + d.Grace + skewed, Cause: "documents", Reclaim: map[string]Reclaim{}}
	for name, pool := range p.Pools {
		if pool.Endless() {
			b.Reclaim[name] = Reclaim{Endless: true}
			continue
		}
		r := Reclaim{After: pool.Lease + pool.Grace + skewed}
		if pool.Borrow > 0 {
			r.Borrowed = pool.Borrow + pool.Grace + skewed
		}
		b.Reclaim[name] = r
		longest := max(r.After, r.Borrowed)
		if longest > b.Revocation || longest == b.Revocation && b.Cause != "documents" && "pool "+name < b.Cause {
			b.Revocation, b.Cause = longest, "pool "+name
		}
	}
	b.Ended = max(b.Revocation, d.Life+d.Grace+d.Fallback+Skew)
	return b
}

// String writes the bounds, one on each line.
func (b Bounds) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "a revocation reaches connected clients within %v\n", b.Connected)
	fmt.Fprintf(&s, "and ends full function everywhere within %v (%s), the fallback within %v\n", b.Revocation, b.Cause, b.Ended)
	names := make([]string, 0, len(b.Reclaim))
	for name := range b.Reclaim {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch r := b.Reclaim[name]; {
		case r.Endless:
			fmt.Fprintf(&s, "pool %s: a lost holder keeps its units until they are released\n", name)
		case r.Borrowed > 0:
			fmt.Fprintf(&s, "pool %s: the units of a lost holder are free after %v, borrowed ones after %v\n", name, r.After, r.Borrowed)
		default:
			fmt.Fprintf(&s, "pool %s: the units of a lost holder are free after %v\n", name, r.After)
		}
	}
	return s.String()
}
