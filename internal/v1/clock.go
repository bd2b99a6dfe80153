package v1

import "time"

// A ClockStatus says why the server's time is in doubt, and what follows from it.
// It is zero while there is no doubt.
type ClockStatus struct {
	InDoubt   bool      `json:"in_doubt" doc:"Nothing is reclaimed for now."`
	Offset    int64     `json:"offset_seconds,omitempty" doc:"By how much the database's clock is ahead of the time that the server goes by."`
	Kept      int64     `json:"kept_seconds,omitempty" doc:"Nothing explains so much of the time before a start: units that were held then are kept for that much longer."`
	KeptUntil time.Time `json:"kept_until,omitzero" doc:"When the last of them is free."`
	Reason    string    `json:"reason"`
}

// IsZero reports whether there is no doubt.
func (s ClockStatus) IsZero() bool { return s == ClockStatus{} }
