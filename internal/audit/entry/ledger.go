package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Clock is the log's record of a clock in doubt.
type Clock struct {
	Doubt  bool    `json:"doubt"`
	Offset float64 `json:"offset"`         // seconds
	Kept   float64 `json:"kept,omitempty"` // seconds by which held units are kept longer
}

// A Fence is the log's record of a declaration about a fence, and of its end.
type Fence struct {
	Epoch    int64      `json:"epoch"`
	By       string     `json:"by"`
	AgreedBy string     `json:"agreed_by,omitempty"`
	Until    *time.Time `json:"until,omitempty"` // until when newcomers would have waited
	Reason   string     `json:"reason"`
}

// An Erase is the log's record of a payload that was erased.
type Erase struct {
	Index  int64  `json:"index"`
	Reason string `json:"reason"`
}

// A Quarantine is the log's record of rows that were quarantined or adopted.
type Quarantine struct {
	Environment licensing.Env `json:"environment"`
	Cause       string        `json:"cause,omitempty"`
	Batch       string        `json:"batch"`
	Rows        int           `json:"rows"`
	Hash        string        `json:"hash"` // audit.HashRows
}

// An Epoch is the log's record of an epoch that began, and of what caused it.
type Epoch struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}
