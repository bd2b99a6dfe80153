package v1

import "copyhold.dev/internal/licensing"

// A ChangeRequest changes what a license grants, now or at its renewal. Payment,
// Reference and Metadata change immediately in either case.
type ChangeRequest struct {
	licensing.Change
	Capacity  map[string]int64   `json:"capacity,omitempty" doc:"Units by pool, in place of those from plan, add-ons or an earlier request."`
	Payment   licensing.Payment  `json:"payment,omitempty" enum:"paid,unpaid"`
	Reference *string            `json:"reference,omitempty"`
	Metadata  *map[string]string `json:"metadata,omitempty"`
	Reason    string             `json:"reason,omitempty"`
}
