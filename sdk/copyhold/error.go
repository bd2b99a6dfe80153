package copyhold

import (
	"errors"

	"copyhold.dev/sdk/license"
)

// Kinds of errors, for errors.Is. Every error from this package matches one of these kinds or one
// of the kinds in package license. The error's text has more detail.
var (
	// ErrDenied reports that the license does not allow the request. A signed answer said so:
	// errors.As finds it as a *DecisionError. Retrying helps only after something has changed.
	ErrDenied = errors.New("copyhold: denied")
	// ErrUnavailable reports that there is no signed answer: no server was reached, or the answer
	// proves nothing. It is never a denial, and leases stay held.
	ErrUnavailable = errors.New("copyhold: unavailable")
	// ErrOptions reports options that can't be used: one is missing or contradicts another, the
	// license key is mistyped, or a file that they name can't be read.
	ErrOptions = errors.New("copyhold: invalid options")
	// ErrRequest reports an invalid request, such as a holder's id with spaces. It is neither a
	// denial nor an outage, and retrying does not help.
	ErrRequest = errors.New("copyhold: invalid request")
	// ErrUsage reports usage that can't be counted: a negative quantity, an unknown meter, or a
	// time or number out of range.
	ErrUsage = errors.New("copyhold: invalid usage")
	// ErrSpoolFull reports that unsent usage has reached Options.SpoolLimit.
	ErrSpoolFull = errors.New("copyhold: the usage spool is full")
	// ErrCache reports that usage could not be written to the cache folder or read from it.
	ErrCache = errors.New("copyhold: the cache folder cannot be used")
	// ErrClosed reports that the client was closed, or that its context has ended.
	ErrClosed = errors.New("copyhold: the client is closed")
	// ErrNoKey reports that no license key is set. See Options.AllowNoKey and Client.SetKey.
	ErrNoKey = errors.New("copyhold: no license key is set")
	// ErrKeyRefused reports that a server does not know the license key, or that the key has
	// expired. The answer is unsigned, so the error also matches ErrUnavailable.
	ErrKeyRefused = errors.New("copyhold: the license key was refused")
	// ErrUntrusted reports that a server's certificate is from an authority that this machine does
	// not know; see Options.CAFile. The error also matches ErrUnavailable.
	ErrUntrusted = errors.New("copyhold: a server's certificate is not trusted")
)

// A DecisionError reports why a request was not granted. If its outcome is denied, the denial's
// signature was verified. In all other cases the outcome is unavailable.
type DecisionError struct {
	Decision license.Decision
	cause    error
}

// Error returns the decision as text.
func (e *DecisionError) Error() string { return "copyhold: " + e.Decision.String() }

// Is lets errors.Is find ErrDenied and ErrUnavailable.
func (e *DecisionError) Is(target error) bool {
	switch target {
	case ErrDenied:
		return e.Decision.Outcome == license.Denied
	case ErrUnavailable:
		return e.Decision.Outcome == license.Unavailable
	}
	return false
}

// Unwrap returns the cause of an unavailable answer, such as context.Canceled.
func (e *DecisionError) Unwrap() error { return e.cause }

func unavailable(err error) *DecisionError {
	return &DecisionError{cause: err, Decision: license.Decision{
		Outcome: license.Unavailable,
		Code:    license.CodeUnavailable,
		Reason:  err.Error(),
		Rule:    "only a signed statement may deny",
	}}
}

// A classified error matches its kind and has the text of its cause.
type classified struct{ kind, cause error }

func (c *classified) Error() string   { return c.cause.Error() }
func (c *classified) Unwrap() []error { return []error{c.kind, c.cause} }

// classify adds a kind to err. It returns nil if err is nil.
func classify(kind, err error) error {
	if err == nil {
		return nil
	}
	return &classified{kind, err}
}
