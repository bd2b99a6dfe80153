package v1

import "copyhold.dev/internal/licensing"

// A ChangeRequest asks to change what a license grants, now or at its renewal.
// Payment, Reference and Metadata change at once in either case.
type ChangeRequest struct {
	licensing.Change
	Capacity  map[string]int64   `json:"capacity,omitempty" doc:"Units by pool, in place of what plan, add-ons or an earlier request give."`
	Payment   licensing.Payment  `json:"payment,omitempty" enum:"paid,unpaid"`
	Reference *string            `json:"reference,omitempty"`
	Metadata  *map[string]string `json:"metadata,omitempty"`
	Reason    string             `json:"reason,omitempty"`
}
