package license

import (
	"errors"
	"fmt"
)

// Why a document is not believed. Every error of this package wraps one of
// these; the vectors in testdata name them without the prefix Err.
var (
	ErrFormat        = errors.New("license: malformed")
	ErrEncoding      = errors.New("license: not in its one encoding")
	ErrHeader        = errors.New("license: header is not the profile's")
	ErrType          = errors.New("license: another kind of document")
	ErrUnknownKey    = errors.New("license: no trusted key of that name")
	ErrKey           = errors.New("license: public key not acceptable")
	ErrSignature     = errors.New("license: signature does not verify")
	ErrVersion       = errors.New("license: version not supported")
	ErrMust          = errors.New("license: a claim that has to be understood is not")
	ErrIssuer        = errors.New("license: another issuer")
	ErrAudience      = errors.New("license: another product")
	ErrSubject       = errors.New("license: another subject")
	ErrDates         = errors.New("license: dates out of order")
	ErrNotYet        = errors.New("license: not valid yet")
	ErrExpired       = errors.New("license: expired")
	ErrKeyDates      = errors.New("license: outside the dates of its key")
	ErrWithdrawn     = errors.New("license: its key was withdrawn")
	ErrKeySetExpired = errors.New("license: key set expired")
	ErrThreshold     = errors.New("license: too few signatures")
	ErrRollback      = errors.New("license: older than what is trusted already")
	ErrSeq           = errors.New("license: sequence is not higher")
	ErrChain         = errors.New("license: wider than its parent")
	ErrNonce         = errors.New("license: not an answer to this question")
	ErrDocument      = errors.New("license: speaks of another document")
	ErrBinding       = errors.New("license: bound to another device")
	ErrSeal          = errors.New("license: sealed data does not open")
)

func fault(err error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", err, fmt.Sprintf(format, args...))
}
