package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Proposed is the log's record of a root set that waits for its installation.
type Proposed struct {
	Number    int64    `json:"number"`
	Keep      []string `json:"keep,omitempty"`
	Roots     int      `json:"roots"` // number of root keys to make
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // new document keys
}

// A Key is the log's record of a signing key that was made.
type Key struct {
	Use        licensing.KeyUse `json:"use"`
	SignUntil  time.Time        `json:"sign_until"`
	TrustUntil time.Time        `json:"trust_until"`
}

// A Rotate is the log's record of a signing key that was rotated out.
type Rotate struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// A Set is the log's record of a root set or key set that was signed.
type Set struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
}

// A Withdraw is the log's record of a compromised signing key.
type Withdraw struct {
	Cutoff time.Time `json:"cutoff"`
	Reason string    `json:"reason,omitempty"`
}
