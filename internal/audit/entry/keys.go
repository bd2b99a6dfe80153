package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Proposed is what the log keeps of a root set that waits for its installation.
type Proposed struct {
	Number    int64    `json:"number"`
	Keep      []string `json:"keep,omitempty"`
	Roots     int      `json:"roots"` // to be made
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // document keys that it brings
}

// A Key is what the log keeps of a signing key that was made.
type Key struct {
	Use        licensing.KeyUse `json:"use"`
	SignUntil  time.Time        `json:"sign_until"`
	TrustUntil time.Time        `json:"trust_until"`
}

// A Rotate is what the log keeps of a signing key whose turn ended.
type Rotate struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// A Set is what the log keeps of a root set or key set that was signed.
type Set struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
}

// A Withdraw is what the log keeps of a signing key that others know.
type Withdraw struct {
	Cutoff time.Time `json:"cutoff"`
	Reason string    `json:"reason,omitempty"`
}
