package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// An ImportRequest brings the licenses and keys of another system. CSV has a
// header with the columns key, customer and plan, and any of product, channel,
// revision, edition, start, end, reference and payment. A customer is named by
// id, or as ref:REFERENCE.
type ImportRequest struct {
	CSV     string `json:"csv"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Partial bool   `json:"partial,omitempty" doc:"Import the good lines though others are bad. Default: all or nothing."`
}

// An Imported file says what became of its lines.
type Imported struct {
	Imported int           `json:"imported"`
	Failed   int           `json:"failed"`
	Errors   []ImportError `json:"errors" doc:"The first 100, by line."`
	Licenses []Importable  `json:"licenses,omitempty" doc:"Of a dry run: what would be imported, the first 100 by line."`
}

// An Importable says which license a line would become. It starts with its first use
// where it has no start, and has no end where there is none.
type Importable struct {
	Line         int                   `json:"line"`
	Customer     licensing.CustomerID  `json:"customer"`
	CustomerName string                `json:"customer_name"`
	Product      licensing.ProductName `json:"product"`
	Plan         licensing.PlanName    `json:"plan"`
	Edition      string                `json:"edition,omitempty"`
	Start        time.Time             `json:"start,omitzero"`
	End          time.Time             `json:"end,omitzero"`
	Payment      licensing.Payment     `json:"payment"`
	Reference    string                `json:"reference,omitempty"`
}

// An ImportError says what is wrong with a line; the header is line 1.
type ImportError struct {
	Line    int            `json:"line"`
	Code    licensing.Code `json:"code"`
	Message string         `json:"message"`
}
