package ledger

import (
	"strings"

	"copyhold.dev/internal/licensing"
)

// A Notice says what has changed. What it is now has to be fetched, signed.
type Notice uint32

// The notices; one can hold several.
const (
	LicenseChanged Notice = 1 << iota
	RevocationsChanged
	KeySetChanged
	KeysChanged // of the license: who listens may have to stop
	LeaseRecalled
)

// noticeOf returns what listeners are told of an event, 0 for nothing.
func noticeOf(kind string) Notice {
	switch kind {
	case licensing.LicenseRevoked:
		return LicenseChanged | RevocationsChanged
	case licensing.LicenseTransferred: // its keys are another customer's now
		return LicenseChanged | KeysChanged
	}
	switch noun, _, _ := strings.Cut(kind, "."); noun {
	case "license", "exception":
		return LicenseChanged
	case "key":
		return KeysChanged
	case "lease":
		if kind == licensing.LeaseRecalled {
			return LeaseRecalled
		}
	case "signing_key", "root_set":
		return KeySetChanged
	}
	return 0
}
