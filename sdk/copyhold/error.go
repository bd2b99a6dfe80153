package copyhold

import (
	"errors"

	"copyhold.dev/sdk/license"
)

// Kinds of errors, for errors.Is. Every error of this package is of one of them, or of a kind
// that package license lists, and says more in its text.
var (
	// ErrDenied reports that the license does not allow it. It is always a signed answer:
	// errors.As finds it as a *DecisionError. Asking again helps only once something has
	// changed.
	ErrDenied = errors.New("copyhold: denied")
	// ErrUnavailable reports that nobody gave a signed answer: no server was reached, or what
	// answered proves nothing. It is never a denial, and what is held stays held.
	ErrUnavailable = errors.New("copyhold: unavailable")
	// ErrOptions reports options that can't be used: something is missing or contradicts
	// itself, the license key is mistyped, or a file that they name can't be read.
	ErrOptions = errors.New("copyhold: options that cannot be used")
	// ErrRequest reports a request that can't be right, such as a holder's id with spaces. It
	// is neither a denial nor an outage, and asking again gains nothing.
	ErrRequest = errors.New("copyhold: a request that cannot be right")
	// ErrUsage reports usage that can't be counted: a quantity below zero, an unknown
	// meter, a time or a number out of range.
	ErrUsage = errors.New("copyhold: usage that cannot be counted")
	// ErrSpoolFull reports that unsent usage has reached Options.SpoolLimit.
	ErrSpoolFull = errors.New("copyhold: the spool of usage is full")
	// ErrCache reports that usage could not be written to or read from the cache folder.
	ErrCache = errors.New("copyhold: the cache folder cannot be used")
	// ErrClosed reports that the client was closed, or that its context has ended.
	ErrClosed = errors.New("copyhold: the client is closed")
	// ErrNoKey reports that no license key is set, see Options.AllowNoKey and Client.SetKey.
	ErrNoKey = errors.New("copyhold: no license key is set")
	// ErrKeyRefused reports that a server does not know the license key, or that the key has
	// ended. The answer is unsigned, so the error is ErrUnavailable, too.
	ErrKeyRefused = errors.New("copyhold: the license key was refused")
	// ErrUntrusted reports that no certificate authority that this machine knows vouches for
	// a server, see Options.CAFile. The error is ErrUnavailable, too.
	ErrUntrusted = errors.New("copyhold: a server's certificate is not trusted")
)

// A DecisionError is why something was not granted. If its outcome is denied, a signature
// was verified; everything else is unavailable.
type DecisionError struct {
	Decision license.Decision
	cause    error
}

// Error returns the decision in words.
func (e *DecisionError) Error() string { return "copyhold: " + e.Decision.String() }

// Is makes errors.Is find ErrDenied and ErrUnavailable.
func (e *DecisionError) Is(target error) bool {
	switch target {
	case ErrDenied:
		return e.Decision.Outcome == license.Denied
	case ErrUnavailable:
		return e.Decision.Outcome == license.Unavailable
	}
	return false
}

// Unwrap returns what made an answer unavailable, such as context.Canceled.
func (e *DecisionError) Unwrap() error { return e.cause }

func unavailable(err error) *DecisionError {
	return &DecisionError{cause: err, Decision: license.Decision{
		Outcome: license.Unavailable,
		Code:    license.CodeUnavailable,
		Reason:  err.Error(),
		Rule:    "only a signed statement may deny",
	}}
}

// A classified error is of a kind, and reads as its cause.
type classified struct{ kind, cause error }

func (c *classified) Error() string   { return c.cause.Error() }
func (c *classified) Unwrap() []error { return []error{c.kind, c.cause} }

// classify makes err of a kind; nil stays nil.
func classify(kind, err error) error {
	if err == nil {
		return nil
	}
	return &classified{kind, err}
}
