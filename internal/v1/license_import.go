package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// An ImportRequest imports the licenses and keys of another system. CSV has a
// header with the columns key, customer and plan, and any of product, channel,
// revision, edition, start, end, reference and payment. A customer is given by
// id, or as ref:REFERENCE.
type ImportRequest struct {
	CSV     string `json:"csv"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Partial bool   `json:"partial,omitempty" doc:"Whether to import the valid lines if others are invalid. Default: all or nothing."`
}

// An Imported file is the outcome of an import.
type Imported struct {
	Imported int           `json:"imported"`
	Failed   int           `json:"failed"`
	Errors   []ImportError `json:"errors" doc:"The first 100 errors, by line."`
	Licenses []Importable  `json:"licenses,omitempty" doc:"For a dry run, the first 100 licenses that would be imported, by line."`
}

// An Importable is the license that a line would become. Without a start it starts at
// its first use, and without an end it has none.
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

// An ImportError is a fault in a line; the header is line 1.
type ImportError struct {
	Line    int            `json:"line"`
	Code    licensing.Code `json:"code"`
	Message string         `json:"message"`
}
