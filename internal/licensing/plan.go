package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A Plan is an offer as described in a plan file. Its JSON form is
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
	// RevocationBound is the longest time that the vendor accepts for a revocation to
	// reach every client; 0 states none.
	RevocationBound Span `json:"revocation_bound,omitempty"`
}

// Documents are how long documents last, counted from when they are issued.
type Documents struct {
	Life     Span `json:"life"`     // until the grace begins
	Refresh  Span `json:"refresh"`  // until a client requests the next one
	Stale    Span `json:"stale"`    // until a refresh is overdue
	Grace    Span `json:"grace"`    // offline grace after Life
	Fallback Span `json:"fallback"` // the fallback features after the grace
}

// DefaultDocuments returns the values for a plan that does not mention documents.
func DefaultDocuments() Documents {
	const day = 86400
	return Documents{Life: 7 * day, Refresh: day, Stale: 2 * day, Grace: 14 * day, Fallback: 30 * day}
}

// Check refuses documents whose dates are out of order and reports every
// fault.
func (d Documents) Check() error {
	var f faults
	f.when(d.Refresh < 1, "refresh", "refresh %v is shorter than a second", d.Refresh)
	f.when(d.Stale < d.Refresh, "stale refresh life", "stale %v is before refresh %v", d.Stale, d.Refresh)
	f.when(d.Life < d.Stale, "life stale refresh", "life %v is shorter than stale %v", d.Life, d.Stale)
	f.when(d.Grace < 0, "grace", "grace is negative")
	f.when(d.Fallback < 0, "fallback", "fallback is negative")
	return f.all()
}

// MaxDocument is the longest time from issue to the end of a document: twenty
// years, so that the dates fit the date types of every language.
const MaxDocument = 20 * 366 * 24 * time.Hour
