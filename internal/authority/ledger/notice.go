package ledger

import (
	"strings"

	"copyhold.dev/internal/licensing"
)

// A Notice names the kinds of changes that have happened. The listener must fetch the new state,
// which is signed.
type Notice uint32

// The notices. One value can combine several.
const (
	LicenseChanged Notice = 1 << iota
	RevocationsChanged
	KeySetChanged
	KeysChanged // of the license; a listener may have to stop
	LeaseRecalled
)

// noticeOf returns the notice that an event sends to listeners, or 0 for none.
func noticeOf(kind string) Notice {
	switch kind {
	case licensing.LicenseRevoked:
		return LicenseChanged | RevocationsChanged
	case licensing.LicenseTransferred: // its keys now belong to another customer
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
