package licensing

import (
	"strings"
	"time"
)

// An Env is the name of an environment. It is the first part of every key.
type Env string

// Identifiers are distinct types so that they cannot be mixed up. Names are
// chosen by people; ids are made by NewID.
type (
	// A ProductName names what is licensed.
	ProductName string
	// A PlanName names an offer of a product.
	PlanName string
	// A RevisionID is the content hash of a plan's revision, 64 hex digits.
	RevisionID string
	// A CustomerID identifies a buyer.
	CustomerID string
	// A LicenseID identifies a plan granted to a customer.
	LicenseID string
	// A KeyID is the public part of a license key.
	KeyID string
	// A LeaseID identifies a lease on units of a pool.
	// A LeaseID identifies units of a pool held until a time.
	LeaseID string
	// A TicketID identifies a place in a pool's queue.
	TicketID string
	// A TokenID identifies a token of a person or a system.
	TokenID string
	// A MoveID identifies a group of licenses that move to a revision together.
	MoveID string
	// A JobID identifies long work that the server does in the background.
	JobID string
	// An ExceptionID identifies an exception granted to one license.
	ExceptionID string
)

// Prefixes of ids made by NewID.
const (
	CustomerPrefix  = "cus"
	LicensePrefix   = "lic"
	LeasePrefix     = "lse"
	TicketPrefix    = "tkt"
	TokenPrefix     = "tok"
	ExceptionPrefix = "exc"
	MovePrefix      = "mov"
	JobPrefix       = "job"
)

// crockford is Crockford's base 32 in lowercase.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID returns prefix, an underscore and a ULID of 26 lowercase Crockford
// digits: 48 bits of milliseconds and the 80 random bits given. Ids with the same
// prefix sort by time.
func NewID(prefix string, now time.Time, random [10]byte) string {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	copy(b[6:], random[:])
	out := make([]byte, 0, len(prefix)+27)
	out = append(out, prefix...)
	out = append(out, '_')
	// 130 bits are the 128 after two zero bits.
	acc, bits := uint32(0), 2
	for _, c := range b {
		acc = acc<<8 | uint32(c)
		for bits += 8; bits >= 5; {
			bits -= 5
			out = append(out, crockford[acc>>bits&31])
		}
	}
	return string(out)
}

// IDTime returns the time in an id made by NewID, to the millisecond. It returns false if
// the id does not have that form.
func IDTime(id string) (time.Time, bool) {
	_, digits, found := strings.Cut(id, "_")
	if !found || len(digits) != 26 || digits[0] > '7' {
		return time.Time{}, false
	}
	var ms int64
	for i := range len(digits) {
		n := strings.IndexByte(crockford, digits[i])
		if n < 0 {
			return time.Time{}, false
		}
		if i < 10 { // 50 bits, of which the first two are zero
			ms = ms<<5 | int64(n)
		}
	}
	return time.UnixMilli(ms).UTC(), true
}

// CheckName refuses a name unless it is at most 64 lowercase letters, digits and single
// inner dashes, dots or underscores, and starts with a letter. What is the kind of
// name for the error, such as "pool".
func CheckName(what, s string) error {
	ok := s != "" && len(s) <= 64 && isLetter(s[0])
	for i := 0; ok && i < len(s); i++ {
		inner := i > 0 && i < len(s)-1 && isJoint(s[i]) && !isJoint(s[i-1])
		ok = isLetter(s[i]) || '0' <= s[i] && s[i] <= '9' || inner
	}
	if !ok {
		return Errorf(Invalid, "%s %q is not a valid name: use at most 64 characters of a-z, 0-9 and single inner . _ -, starting with a letter", what, s)
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }
func isJoint(c byte) bool  { return c == '.' || c == '_' || c == '-' }
