package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Count is the log's record of denials that followed the first of their session.
type Count struct {
	Code   string `json:"code"`
	Minute int64  `json:"minute"` // unix seconds
	Times  int64  `json:"times"`  // after the first of each holder
}

// A Denial is the log's record of the first denial of a session.
type Denial struct {
	Holder   string `json:"holder"`
	Code     string `json:"code"`
	Rule     string `json:"rule"`
	Held     int64  `json:"held"`
	Capacity int64  `json:"capacity"`
	// Exceptions are the exceptions that the decision depends on.
	Exceptions []string `json:"exceptions,omitempty"`
	licensing.Caller
}

// An End is the log's record of a lease that ended.
type End struct {
	Holder string `json:"holder"`
	By     string `json:"by"`
	FreeAt int64  `json:"free_at,omitempty"` // unix seconds
	licensing.Caller
}

// An Export is the log's record of a license that was exported to a file.
type Export struct {
	Document string `json:"document"`
	Expires  int64  `json:"expires"`
}

// A Recall is the log's record of a lease whose holder was asked to give it back.
type Recall struct {
	Holder   string `json:"holder"`
	Instance string `json:"instance,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// A Started is the log's record of a license whose term began.
type Started struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}
