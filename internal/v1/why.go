package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// An Explanation is what is decided about a license now, and by which rule.
type Explanation struct {
	License    licensing.LicenseID         `json:"license"`
	Customer   licensing.CustomerID        `json:"customer"`
	Product    licensing.ProductName       `json:"product"`
	Plan       licensing.PlanName          `json:"plan"`
	Revision   licensing.RevisionID        `json:"revision"`
	At         time.Time                   `json:"at"`
	Decision   license.Decision            `json:"decision" doc:"Of the license itself: its status and its term."`
	Features   map[string]license.Decision `json:"features"`
	Pools      map[string]license.Decision `json:"pools" doc:"What is held, and whether one unit more would be granted to somebody new"`
	Meters     map[string]license.Decision `json:"meters" doc:"What was used in this period, and whether any more would be recorded"`
	Addons     []licensing.Grant           `json:"addons,omitempty"`
	Exceptions []licensing.Exception       `json:"exceptions,omitempty"`
	Scheduled  []licensing.Change          `json:"scheduled,omitempty"`
	Payment    licensing.Payment           `json:"payment"`
	Denials    []ExplainedDenial           `json:"denials" doc:"The latest, newest first."`
	Bounds     licensing.Bounds            `json:"bounds"`
	Runway     licensing.Runway            `json:"runway"`
}

// An ExplainedDenial is a denial that was given, and how often it was repeated.
type ExplainedDenial struct {
	Request  string              `json:"request_id"`
	License  licensing.LicenseID `json:"license"`
	Pool     string              `json:"pool" doc:"The pool or the meter."`
	Holder   string              `json:"holder,omitempty"`
	At       time.Time           `json:"at"`
	Times    int64               `json:"times" doc:"In that minute, retries included."`
	Call     string              `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in its log"`
	Decision license.Decision    `json:"decision"`
	licensing.Caller
}
