package license

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A Type is the typ header of a document: its kind.
type Type string

// The kinds of documents.
const (
	TypeLicense     Type = "copyhold-license+jwt"
	TypeLease       Type = "copyhold-lease+jwt"
	TypeReply       Type = "copyhold-reply+jwt"
	TypeKeySet      Type = "copyhold-keyset+jwt"
	TypeRootSet     Type = "copyhold-rootset+jwt"
	TypeRevocations Type = "copyhold-revocations+jwt"
	TypeEdge        Type = "copyhold-edge+jwt"
	TypeOverride    Type = "copyhold-override+jwt"
	TypeBulletin    Type = "copyhold-bulletin+jwt"
)

// Version is the version of the format that this package writes and reads.
const Version = 1

// Claims are what every document says. Times are whole seconds since 1970, UTC.
type Claims struct {
	Issuer    string   `json:"iss"`           // URI of the environment
	Audience  []string `json:"aud,omitempty"` // products, always a list
	Subject   string   `json:"sub,omitempty"` // license
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"` // end of full function, grace included
	ID        string   `json:"jti"`
	Version   int64    `json:"ver"`
	Must      []string `json:"must,omitempty"` // claims that a verifier has to understand
	Seq       Seq      `json:"seq"`
}

// A Seq orders the documents of one stream: same issuer, type, subject and
// lease. The epoch is the database's generation.
type Seq struct{ Epoch, Counter int64 }

// Compare returns -1, 0 or 1 as s is before, equal to or after t.
func (s Seq) Compare(t Seq) int {
	switch {
	case s == t:
		return 0
	case s.Epoch < t.Epoch, s.Epoch == t.Epoch && s.Counter < t.Counter:
		return -1
	}
	return 1
}

// MarshalJSON writes [epoch,counter].
func (s Seq) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt(append(make([]byte, 0, 24), '['), s.Epoch, 10)
	return append(strconv.AppendInt(append(b, ','), s.Counter, 10), ']'), nil
}

// UnmarshalJSON reads [epoch,counter].
func (s *Seq) UnmarshalJSON(data []byte) error {
	var pair [2]int64
	if err := Unmarshal(data, &pair); err != nil {
		return err
	}
	s.Epoch, s.Counter = pair[0], pair[1]
	return nil
}

// Dates are the thresholds of the ladder beside Claims.Expires, absolute:
// iat <= refresh <= stale <= due <= exp <= degraded.
type Dates struct {
	Refresh  [2]int64 `json:"refresh"`  // fetch a newer document within this window
	Stale    int64    `json:"stale"`    // overdue from here on
	Due      int64    `json:"due"`      // grace begins
	Degraded int64    `json:"degraded"` // the fallback ends
}

func (d Dates) check(c Claims) error {
	if d.Refresh[0] < c.IssuedAt {
		return fault(ErrDates, "refresh before iat")
	}
	if d.Refresh[1] < d.Refresh[0] {
		return fault(ErrDates, "refresh window ends before it begins")
	}
	if d.Stale < d.Refresh[1] {
		return fault(ErrDates, "stale before refresh")
	}
	if d.Due < d.Stale {
		return fault(ErrDates, "due before stale")
	}
	if c.Expires < d.Due {
		return fault(ErrDates, "exp before due")
	}
	if d.Degraded < c.Expires {
		return fault(ErrDates, "degraded before exp")
	}
	return nil
}

func (c Claims) check() error {
	if c.Version != Version {
		return fault(ErrVersion, "ver %d", c.Version)
	}
	if c.Issuer == "" {
		return fault(ErrFormat, "no iss")
	}
	if c.ID == "" {
		return fault(ErrFormat, "no jti")
	}
	if c.IssuedAt <= 0 {
		return fault(ErrFormat, "no iat")
	}
	if c.NotBefore < c.IssuedAt {
		return fault(ErrDates, "nbf before iat")
	}
	if c.Expires <= c.NotBefore {
		return fault(ErrDates, "exp not after nbf")
	}
	if c.Seq.Epoch < 0 || c.Seq.Counter < 0 {
		return fault(ErrFormat, "negative seq")
	}
	return nil
}

// checkRights checks what a document about a license has to say besides.
func (c Claims) checkRights() error {
	if err := c.check(); err != nil {
		return err
	}
	if len(c.Audience) == 0 {
		return fault(ErrFormat, "no aud")
	}
	if c.Subject == "" {
		return fault(ErrFormat, "no sub")
	}
	return nil
}

// A document is one of the nine kinds.
type document interface {
	kind() Type
	common() Claims
	check() error    // what it says on its own account
	lastDate() int64 // the end of everything it grants
}

func (c Claims) common() Claims { return c }

// encode writes compact JSON without escaping HTML.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
