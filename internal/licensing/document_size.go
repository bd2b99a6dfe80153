package licensing

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

const (
	// DocumentRoom is the space in bytes that a license document may need in addition to the
	// contents of plan and license: issuer, log head, binding and the digests of its keys.
	DocumentRoom = 16 << 10
	// MaxSealed is the maximum number of features of a product that data can be sealed to. A
	// document carries a key for each.
	MaxSealed = 64

	wrappedKey = 107 // bytes of a feature's key, wrapped for a device, in base64url
)

// A DocumentSize is the number of bytes of a license's largest document, by part.
type DocumentSize struct {
	Features, Fallback, Pools, Meters, Keys int
	Other                                   int // names, dates and DocumentRoom
}

// Total returns the size of the whole document.
func (s DocumentSize) Total() int {
	return s.Features + s.Fallback + s.Pools + s.Meters + s.Keys + s.Other
}

// Fit is Compile for terms that are about to be granted. It also fails with Conflict if a
// document of the license could exceed license.MaxDocument, now or after its add-ons,
// exceptions and features begin or end, because no program could receive it.
func Fit(rev Revision, l License, now time.Time) (Terms, error) {
	t, err := Compile(rev, l, now)
	if err != nil {
		return t, err
	}
	size, err := LargestDocument(rev, l, now)
	if err == nil {
		err = size.Check()
	}
	return t, err
}

// LargestDocument returns the size of the largest document that a license can get from
// now on under a revision. Numbers and dates count at their maximum length, so the size
// does not depend on a clock or on usage. It fails as Compile does.
func LargestDocument(rev Revision, l License, now time.Time) (DocumentSize, error) {
	if l.Start.IsZero() {
		l.Start = now // so that features with an end of their own have one
	}
	p := rev.Plan
	if l.Edition != "" {
		p.Edition = l.Edition
	}
	set, before := map[string]license.Feature{}, map[string]license.Value(nil)
	for _, at := range append([]time.Time{now}, changesAfter(p, l, now)...) {
		b, err := build(p, p.Meters, l, at)
		if err != nil {
			return DocumentSize{}, err
		}
		for name, v := range b.features {
			f := widen(set[name], v)
			if before != nil && before[name] != v {
				f.Until = MaxQuantity
			}
			set[name] = f
		}
		for name := range before {
			if f := set[name]; b.features[name].IsZero() {
				f.Until = MaxQuantity
				set[name] = f
			}
		}
		before = b.features
	}
	for name, f := range set {
		if f.Until != 0 {
			f.Then = f.Value
			set[name] = f
		}
	}
	fallback := make(map[string]license.Feature, len(p.Fallback))
	for name, v := range p.Fallback {
		fallback[name] = widen(license.Feature{}, v)
	}
	pools := make(map[string]license.Pool, len(p.Pools))
	for name, pool := range p.Pools {
		pools[name] = license.Pool{Capacity: MaxQuantity, Holder: pool.Holder, Overdraft: MaxQuantity, Borrow: MaxQuantity, Full: string(pool.Full)}
	}
	meters := make(map[string]license.Meter, len(p.Meters))
	for name, m := range p.Meters {
		meters[name] = license.Meter{
			Unit: m.Unit, Scale: m.Scale, Quota: MaxQuantity, Soft: MaxQuantity, Hard: MaxQuantity, Per: string(m.Per),
			PeriodStart: MaxQuantity, PeriodEnd: MaxQuantity, Used: MaxQuantity, Full: string(m.Full),
		}
	}
	rest := license.License{
		Claims: license.Claims{Audience: []string{string(p.Product)}},
		Plan:   string(p.Name), Edition: p.Edition,
	}
	return DocumentSize{
		Features: jsonLen(set), Fallback: jsonLen(fallback), Pools: jsonLen(pools), Meters: jsonLen(meters),
		Keys: sealedLen(set), Other: jsonLen(rest) + DocumentRoom,
	}, nil
}

// widen returns f with the longer of its value and v. Numbers can be summed, so they
// count at their maximum length.
func widen(f license.Feature, v license.Value) license.Feature {
	if _, number := v.Int(); number {
		v = license.IntValue(-MaxQuantity)
	}
	if f.Value.IsZero() || jsonLen(v) > jsonLen(f.Value) {
		f.Value = v
	}
	return f
}

// sealedLen returns the size of the keys of the features with the longest names.
func sealedLen(set map[string]license.Feature) int {
	names := slices.SortedFunc(maps.Keys(set), func(a, b string) int { return len(b) - len(a) })
	n := 0
	for _, name := range names[:min(len(names), MaxSealed)] {
		n += len(`"":"",`) + len(name) + wrappedKey
	}
	return n
}

// jsonLen returns the number of bytes that v takes in a document.
func jsonLen(v any) int {
	var n counter
	enc := json.NewEncoder(&n)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // only encodable values are measured
	return int(n) - len("\n")
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// Check fails with Conflict if the size exceeds license.MaxDocument, and names the
// largest part first.
func (s DocumentSize) Check() error {
	if s.Total() <= license.MaxDocument {
		return nil
	}
	type part struct {
		name  string
		bytes int
	}
	parts := []part{{"features", s.Features}, {"the fallback", s.Fallback}, {"pools", s.Pools}, {"meters", s.Meters}, {"keys of sealed features", s.Keys}}
	slices.SortStableFunc(parts, func(a, b part) int { return b.bytes - a.bytes })
	words := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.bytes > len("{}") {
			words = append(words, p.name+" "+strconv.Itoa(p.bytes))
		}
	}
	return Errorf(Conflict, "the license's document could take %d bytes; the maximum is %d (%s); grant fewer of these, or use shorter names and texts",
		s.Total(), license.MaxDocument, strings.Join(words, ", "))
}
