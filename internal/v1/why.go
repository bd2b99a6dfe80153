package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// An Explanation is the current decisions about a license and their rules.
type Explanation struct {
	License    licensing.LicenseID         `json:"license"`
	Customer   licensing.CustomerID        `json:"customer"`
	Product    licensing.ProductName       `json:"product"`
	Plan       licensing.PlanName          `json:"plan"`
	Revision   licensing.RevisionID        `json:"revision"`
	At         time.Time                   `json:"at"`
	Decision   license.Decision            `json:"decision" doc:"The decision about the license itself: its status and its term."`
	Features   map[string]license.Decision `json:"features"`
	Pools      map[string]license.Decision `json:"pools" doc:"The units in use, and whether one more unit would be granted to a new holder"`
	Meters     map[string]license.Decision `json:"meters" doc:"The usage in this period, and whether more would be recorded"`
	Addons     []licensing.Grant           `json:"addons,omitempty"`
	Exceptions []licensing.Exception       `json:"exceptions,omitempty"`
	Scheduled  []licensing.Change          `json:"scheduled,omitempty"`
	Payment    licensing.Payment           `json:"payment"`
	Denials    []ExplainedDenial           `json:"denials" doc:"The latest denials, newest first."`
	Bounds     licensing.Bounds            `json:"bounds"`
	Runway     licensing.Runway            `json:"runway"`
}

// An ExplainedDenial is a denial and how often it was repeated.
type ExplainedDenial struct {
	Request  string              `json:"request_id"`
	License  licensing.LicenseID `json:"license"`
	Pool     string              `json:"pool" doc:"The pool or the meter."`
	Holder   string              `json:"holder,omitempty"`
	At       time.Time           `json:"at"`
	Times    int64               `json:"times" doc:"The number of denials in that minute, including retries."`
	Call     string              `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in the server's log"`
	Decision license.Decision    `json:"decision"`
	licensing.Caller
}
