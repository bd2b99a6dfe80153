package entry

import "time"

// A Token is the log's record of a token that was created or revoked.
type Token struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Spans     bool      `json:"spans,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}
