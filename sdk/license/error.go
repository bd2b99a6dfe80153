package license

import (
	"errors"
	"fmt"
)

// Reasons why a document is refused. Every error from this package wraps one of these. The vectors
// in testdata use the names without the prefix Err.
var (
	ErrFormat        = errors.New("license: malformed")
	ErrEncoding      = errors.New("license: encoding is not canonical")
	ErrHeader        = errors.New("license: header does not match the profile")
	ErrType          = errors.New("license: wrong kind of document")
	ErrUnknownKey    = errors.New("license: no trusted key has this name")
	ErrKey           = errors.New("license: public key is not acceptable")
	ErrSignature     = errors.New("license: signature does not verify")
	ErrVersion       = errors.New("license: version is not supported")
	ErrMust          = errors.New("license: required claim is not supported")
	ErrIssuer        = errors.New("license: wrong issuer")
	ErrAudience      = errors.New("license: wrong product")
	ErrSubject       = errors.New("license: wrong subject")
	ErrDates         = errors.New("license: dates are out of order")
	ErrNotYet        = errors.New("license: not valid yet")
	ErrExpired       = errors.New("license: expired")
	ErrKeyDates      = errors.New("license: outside the dates of the signing key")
	ErrWithdrawn     = errors.New("license: signing key was withdrawn")
	ErrKeySetExpired = errors.New("license: key set has expired")
	ErrThreshold     = errors.New("license: too few signatures")
	ErrRollback      = errors.New("license: older than the trusted one")
	ErrSeq           = errors.New("license: sequence is not higher")
	ErrChain         = errors.New("license: exceeds its certificate")
	ErrNonce         = errors.New("license: not an answer to this request")
	ErrDocument      = errors.New("license: refers to another document")
	ErrBinding       = errors.New("license: bound to another device")
	ErrSeal          = errors.New("license: sealed data cannot be opened")
)

func fault(err error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", err, fmt.Sprintf(format, args...))
}
