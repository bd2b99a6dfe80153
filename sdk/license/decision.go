package license

import "time"

// An Outcome is what a decision comes to.
type Outcome string

// Unavailable is infrastructure and never a denial.
const (
	Allowed     Outcome = "allowed"
	Denied      Outcome = "denied"
	Unavailable Outcome = "unavailable"
)

// Codes of decisions. They are for programs and are never renamed.
const (
	CodeOK              = "ok"
	CodeStale           = "stale"
	CodeGrace           = "grace"
	CodeRenewalGrace    = "renewal_grace"
	CodeFallback        = "fallback"
	CodeOverdraft       = "overdraft"
	CodeOverage         = "overage"
	CodeSoftLimit       = "soft_limit"
	CodeQueued          = "queued"
	CodeOffered         = "offered"
	CodePoolFull        = "pool_full"
	CodeQueueFull       = "queue_full"
	CodeTrialUsed       = "trial_used"
	CodeQuotaSpent      = "quota_spent"
	CodeNoSuchPool      = "no_such_pool"
	CodeNoSuchMeter     = "no_such_meter"
	CodeTooManyUnits    = "too_many_units"
	CodeBorrowTooLong   = "borrow_too_long"
	CodeFeatureAbsent   = "feature_absent"
	CodeFeatureEnded    = "feature_ended"
	CodeWrongProduct    = "wrong_product"
	CodeNotMaintained   = "not_maintained"
	CodeNotStarted      = "not_started"
	CodeTermEnded       = "term_ended"
	CodeSuspended       = "suspended"
	CodeRevoked         = "revoked"
	CodeBindingMismatch = "binding_mismatch"
	CodeClone           = "clone"
	CodeRecalled        = "recalled"
	CodeClock           = "clock"
	CodeDegraded        = "degraded"
	CodeExpired         = "expired"
	CodeNoLicense       = "no_license"
	CodeUnavailable     = "unavailable"
)

// A Decision is an answer that explains itself: what, why, by which rule, and
// what happens next. Times are seconds since 1970, and 0 means never; NextTime
// and FreeTime return them as time.Time.
type Decision struct {
	Outcome  Outcome   `json:"outcome"`
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule"`
	State    State     `json:"state,omitempty"`
	Next     string    `json:"next,omitempty"`
	NextAt   int64     `json:"next_at,omitempty"`
	Holders  []Holding `json:"holders,omitempty"` // who holds, for those who may know
	FreeAt   int64     `json:"free_at,omitempty"` // when a unit is free at the latest
	Held     int64     `json:"held,omitempty"`
	Capacity int64     `json:"capacity,omitempty"`
	// Exceptions are the ids of the exceptions that the decision goes by.
	Exceptions []string `json:"exceptions,omitempty"`
	// RequestID is the server's id of the request that it denied. The vendor's
	// "copyhold why" explains it.
	RequestID string `json:"request_id,omitempty"`
}

// A Holding is one holder's part of a pool.
type Holding struct {
	Holder   string `json:"holder"`
	Name     string `json:"name,omitempty"` // what people recognize the holder by
	Instance string `json:"instance,omitempty"`
	Units    int64  `json:"units"`
	Since    int64  `json:"since,omitempty"`
	FreeAt   int64  `json:"free_at,omitempty"`
}

// String returns outcome, code and reason in a line, and the id of the request that a
// server denied.
func (d Decision) String() string {
	text := string(d.Outcome)
	if d.Code != "" {
		text += " (" + d.Code + ")"
	}
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	if d.RequestID != "" {
		text += " (request " + d.RequestID + ")"
	}
	return text
}

// NextTime returns when Next begins, the zero Time if nothing changes by itself.
func (d Decision) NextTime() time.Time { return Time(d.NextAt) }

// FreeTime returns by when a unit is free, the zero Time if that is not known.
func (d Decision) FreeTime() time.Time { return Time(d.FreeAt) }

// SinceTime returns since when the units are held, the zero Time if that is not known.
func (h Holding) SinceTime() time.Time { return Time(h.Since) }

// FreeTime returns by when the units are free, the zero Time if that is not known.
func (h Holding) FreeTime() time.Time { return Time(h.FreeAt) }

// Time returns a time as documents and decisions carry it, in UTC. 0, which means never, is
// the zero Time.
func Time(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
