package copyhold

import (
	"errors"

	"copyhold.dev/sdk/license"
)

var (
	// ErrSpoolFull is that so much usage waits to be sent that no more can be kept.
	ErrSpoolFull = errors.New("copyhold: the spool of usage is full")
	// ErrUsage reports usage that can't be counted: a quantity below zero, an unknown
	// meter, a time or a number out of range.
	ErrUsage = errors.New("copyhold: usage that cannot be counted")
	// ErrRequest reports a request that can't be right, such as a holder's id with spaces: it
	// is neither a denial nor an outage, and asking again gains nothing.
	ErrRequest = errors.New("copyhold: a request that cannot be right")
	// ErrClosed is that the client was closed, or its context ended.
	ErrClosed = errors.New("copyhold: the client is closed")
)

// A DecisionError is why something was not granted. When its outcome is denied, a
// signature was verified; everything else is unavailable.
type DecisionError struct {
	Decision license.Decision
	cause    error
}

// Error returns the reason and, of what a server denied, the request's id.
func (e *DecisionError) Error() string {
	text := "copyhold: " + string(e.Decision.Outcome) + " (" + e.Decision.Code + "): " + e.Decision.Reason
	if e.Decision.RequestID != "" {
		text += " (request " + e.Decision.RequestID + ")"
	}
	return text
}

// Unwrap returns what made an answer unavailable, such as context.Canceled.
func (e *DecisionError) Unwrap() error { return e.cause }

// IsDenied reports whether err is a denial by the license. It is false for everything
// that is a failure of infrastructure.
func IsDenied(err error) bool { return hasOutcome(err, license.Denied) }

// IsUnavailable reports whether err is a failure of infrastructure.
func IsUnavailable(err error) bool { return hasOutcome(err, license.Unavailable) }

func hasOutcome(err error, o license.Outcome) bool {
	var d *DecisionError
	return errors.As(err, &d) && d.Decision.Outcome == o
}

func unavailable(err error) *DecisionError {
	return &DecisionError{cause: err, Decision: license.Decision{
		Outcome: license.Unavailable,
		Code:    license.CodeUnavailable,
		Reason:  err.Error(),
		Rule:    "only a signed statement may deny",
	}}
}
