package entry

import "time"

// A Backup is the log's record of a backup.
type Backup struct {
	At    time.Time `json:"at"`
	Epoch int64     `json:"epoch"`
}

// An Accept is the log's record of a clock that an operator accepted.
type Accept struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// A SetBack is the log's record of a clock that was set back.
type SetBack struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Fenced bool      `json:"fenced"`
	Reason string    `json:"reason"`
}

// A Repair is the log's record of counters that were repaired.
type Repair struct {
	From     int64     `json:"from,omitempty"` // of the meter's total, unix seconds
	Counters []Counter `json:"counters"`
}

// A Counter is the log's record of one counter that was repaired.
type Counter struct {
	Name   string `json:"name"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Action string `json:"action"`
}
