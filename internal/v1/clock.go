package v1

import "time"

// A ClockStatus is why the server's time is in doubt, and the consequences.
// It is zero if there is no doubt.
type ClockStatus struct {
	InDoubt   bool      `json:"in_doubt" doc:"Whether the time is in doubt, so that nothing is reclaimed for now."`
	Offset    int64     `json:"offset_seconds,omitempty" doc:"How far the database's clock is ahead of the time that the server uses, in seconds."`
	Kept      int64     `json:"kept_seconds,omitempty" doc:"Unexplained time before a start, in seconds. Units that were held then are kept that much longer."`
	KeptUntil time.Time `json:"kept_until,omitzero" doc:"When the last of these units is free."`
	Reason    string    `json:"reason"`
}

// IsZero reports whether there is no doubt.
func (s ClockStatus) IsZero() bool { return s == ClockStatus{} }
