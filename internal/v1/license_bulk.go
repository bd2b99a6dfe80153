package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A LicenseFilter selects licenses that match every field that is set.
type LicenseFilter struct {
	Customer   licensing.CustomerID  `json:"customer,omitempty" maxLength:"64"`
	Product    licensing.ProductName `json:"product,omitempty" maxLength:"64"`
	Plan       licensing.PlanName    `json:"plan,omitempty" maxLength:"64"`
	Revision   licensing.RevisionID  `json:"revision,omitempty" maxLength:"64" doc:"The revision that grants the license."`
	Status     licensing.Status      `json:"status,omitempty" enum:"active,suspended,revoked"`
	Reference  string                `json:"reference,omitempty" maxLength:"200"`
	EndsBefore time.Time             `json:"ends_before,omitzero" doc:"The term has an end, and it is before this time."`
}

// A LicenseSelection says which licenses a job changes: those that match a filter, all, or those in
// a CSV file.
type LicenseSelection struct {
	Filter *LicenseFilter `json:"filter,omitempty" doc:"Only licenses that match all of these conditions. At least one is required."`
	All    bool           `json:"all,omitempty" doc:"All licenses that the caller may see."`
	CSV    string         `json:"csv,omitempty" doc:"A file with a header and the column license. For license-extend it can also have the column until, for license-renew the column after."`
	JobPart
	DryRun  bool `json:"dry_run,omitempty" doc:"Only check what would be done."`
	Partial bool `json:"partial,omitempty" doc:"Change the licenses that can be changed, even if others cannot."`
}

// An ExtendJobRequest extends many licenses, as an ExtendRequest extends one. A date in the column
// until of a row has precedence.
type ExtendJobRequest struct {
	LicenseSelection
	Until  time.Time        `json:"until,omitzero"`
	By     licensing.Length `json:"by,omitzero"`
	Reason string           `json:"reason,omitempty"`
}

// A RenewJobRequest adds one term to each of many licenses, after the current term or after the one
// that the column after names.
type RenewJobRequest struct {
	LicenseSelection
	Paid   bool   `json:"paid,omitempty" doc:"Whether the terms are paid for. If so, licenses marked unpaid are renewed and marked paid."`
	Reason string `json:"reason,omitempty"`
}

// A StatusJobRequest suspends or reinstates many licenses.
type StatusJobRequest struct {
	LicenseSelection
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}
