package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A Plan is what can be bought, as a plan file says it. Its JSON form is
// canonical: the same plan has the same bytes.
type Plan struct {
	Product   ProductName              `json:"product"`
	Name      PlanName                 `json:"plan"`
	Title     string                   `json:"name"`
	Channel   string                   `json:"channel,omitempty"`
	Edition   string                   `json:"edition,omitempty"`
	Term      TermRule                 `json:"term"`
	Features  map[string]FeatureRule   `json:"features,omitempty"`
	Fallback  map[string]license.Value `json:"fallback,omitempty"`
	Editions  map[string]Edition       `json:"editions,omitempty"`
	Addons    map[string]Addon         `json:"addons,omitempty"`
	Pools     map[string]Pool          `json:"pools,omitempty"`
	Meters    map[string]Meter         `json:"meters,omitempty"`
	Documents Documents                `json:"documents"`
	// RevocationBound is the longest time a revocation may take to reach
	// everyone that the vendor accepts; 0 states none.
	RevocationBound Span `json:"revocation_bound,omitempty"`
}

// Documents says how long documents last, from when they are issued.
type Documents struct {
	Life     Span `json:"life"`     // until due: the grace begins
	Refresh  Span `json:"refresh"`  // until a client asks for the next one
	Stale    Span `json:"stale"`    // until a refresh is overdue
	Grace    Span `json:"grace"`    // offline grace after due
	Fallback Span `json:"fallback"` // the fallback set after the grace
}

// DefaultDocuments are those of a plan that says nothing about documents.
func DefaultDocuments() Documents {
	const day = 86400
	return Documents{Life: 7 * day, Refresh: day, Stale: 2 * day, Grace: 14 * day, Fallback: 30 * day}
}

// Check refuses documents whose dates would not follow one another, with all that
// is wrong.
func (d Documents) Check() error {
	var f faults
	f.when(d.Refresh < 1, "refresh", "refresh %v is under a second", d.Refresh)
	f.when(d.Stale < d.Refresh, "stale refresh life", "stale %v is before refresh %v", d.Stale, d.Refresh)
	f.when(d.Life < d.Stale, "life stale refresh", "life %v is shorter than stale %v", d.Life, d.Stale)
	f.when(d.Grace < 0, "grace", "grace is below zero")
	f.when(d.Fallback < 0, "fallback", "fallback is below zero")
	return f.all()
}

// MaxDocument is the longest time from issue to the end of a document: twenty
// years, so that dates stay within what every language's dates hold.
const MaxDocument = 20 * 366 * 24 * time.Hour
