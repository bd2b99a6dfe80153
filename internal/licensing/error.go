package licensing

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Code classifies an error. Codes never get another meaning. A denial is not an
// error: it is a license.Decision.
type Code string

// The codes of an Error.
const (
	Invalid             Code = "invalid"              // the request is malformed or contradicts itself
	Unauthenticated     Code = "unauthenticated"      // the request has no valid credential
	Forbidden           Code = "forbidden"            // the caller may not do this
	NotFound            Code = "not_found"            // it does not exist, or the caller may not see it
	Conflict            Code = "conflict"             // its state does not allow the request
	Exists              Code = "exists"               // the name is taken
	IdempotencyMismatch Code = "idempotency_mismatch" // the same request id with another body
	Gone                Code = "gone"                 // it existed and has ended
	TooLarge            Code = "too_large"            // the request exceeds a limit on size
	RateLimited         Code = "rate_limited"         // too many requests; try later
	Unavailable         Code = "unavailable"          // infrastructure; the same request may succeed later
	OutcomeUnknown      Code = "outcome_unknown"      // it may have been done; repeat the request with the same id
	Internal            Code = "internal"             // a fault here; its text never leaves the process
)

// An Error is a failure with a code that callers branch on and a message for
// people. Field names the faulty part of the request, if there is one, and Reads
// the other parts that it contradicts.
type Error struct {
	Code    Code
	Message string
	Field   string
	Reads   []string
	// Retry is how long the caller should wait before trying again, zero if that is
	// unknown.
	Retry time.Duration
	cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause that was given to Errorf with %w, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Errorf returns an Error with a formatted message; %w keeps a cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// At returns a copy of e that names the faulty field.
func (e *Error) At(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// After returns a copy of e with the time to wait before trying again.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.Retry = wait
	return &c
}

// CodeOf returns the code of the first Error in err's chain, Internal if there is
// none, and the empty code for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// faults are all faults of a thing, so that one check reports all of them.
type faults []error

// when adds a fault of the first field if wrong is set. The other fields are those it contradicts.
func (f *faults) when(wrong bool, fields, format string, args ...any) {
	if wrong {
		all := strings.Fields(fields)
		e := Errorf(Invalid, format, args...).At(all[0])
		e.Reads = all[1:]
		*f = append(*f, e)
	}
}

// add adds the result of another check.
func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f faults) all() error { return errors.Join(f...) }

// Faults returns the errors that a check joined.
func Faults(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only the outermost is joined
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
