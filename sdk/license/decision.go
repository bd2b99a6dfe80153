package license

import "time"

// An Outcome is the result of a decision.
type Outcome string

// The outcomes. Unavailable is an infrastructure failure and never a denial.
const (
	Allowed     Outcome = "allowed"
	Denied      Outcome = "denied"
	Unavailable Outcome = "unavailable"
)

// Codes of decisions. They are for programs and never change.
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

// A Decision is an answer with an explanation: the result, the reason, the rule, and what happens
// next. Times are seconds since 1970, and 0 means never. NextTime and FreeTime return them as
// time.Time.
type Decision struct {
	Outcome  Outcome   `json:"outcome"`
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule"`
	State    State     `json:"state,omitempty"`
	Next     string    `json:"next,omitempty"`
	NextAt   int64     `json:"next_at,omitempty"`
	Holders  []Holding `json:"holders,omitempty"` // the holders, if the caller may see them
	FreeAt   int64     `json:"free_at,omitempty"` // when a unit is free at the latest
	Held     int64     `json:"held,omitempty"`
	Capacity int64     `json:"capacity,omitempty"`
	// Exceptions are the ids of the exceptions that apply.
	Exceptions []string `json:"exceptions,omitempty"`
	// RequestID is the server's id of a request that it denied. The vendor's command "copyhold why"
	// explains the request.
	RequestID string `json:"request_id,omitempty"`
}

// A Holding is the share of a pool that one holder has.
type Holding struct {
	Holder   string `json:"holder"`
	Name     string `json:"name,omitempty"` // the holder's name for people
	Instance string `json:"instance,omitempty"`
	Units    int64  `json:"units"`
	Since    int64  `json:"since,omitempty"`
	FreeAt   int64  `json:"free_at,omitempty"`
}

// String returns the outcome, code, and reason in one line, and the id of a request that a server
// denied.
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

// NextTime returns when Next begins, or the zero Time if nothing changes on its own.
func (d Decision) NextTime() time.Time { return Time(d.NextAt) }

// FreeTime returns when a unit is free at the latest, or the zero Time if that is not known.
func (d Decision) FreeTime() time.Time { return Time(d.FreeAt) }

// SinceTime returns since when the units have been held, or the zero Time if that is not known.
func (h Holding) SinceTime() time.Time { return Time(h.Since) }

// FreeTime returns when the units are free at the latest, or the zero Time if that is not known.
func (h Holding) FreeTime() time.Time { return Time(h.FreeAt) }

// Time converts a time in a document or a decision to UTC. It returns the zero Time for 0, which
// means never.
func Time(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
