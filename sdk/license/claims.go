package license

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A Type is the typ header of a document, which names its kind.
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

// Claims are the claims that all documents have. Times are whole seconds since 1970, UTC.
type Claims struct {
	Issuer    string   `json:"iss"`           // URI of the environment
	Audience  []string `json:"aud,omitempty"` // products, always a list
	Subject   string   `json:"sub,omitempty"` // id of the license
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"` // end of full function, including grace
	ID        string   `json:"jti"`
	Version   int64    `json:"ver"`
	Must      []string `json:"must,omitempty"` // claims that a verifier must understand
	Seq       Seq      `json:"seq"`
}

// A Seq orders the documents of one stream, which have the same issuer, type, subject, and lease.
// Epoch is the generation of the database.
type Seq struct{ Epoch, Counter int64 }

// Compare returns -1, 0, or 1 if s is before, equal to, or after t.
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

// Dates are the thresholds of the ladder in addition to Claims.Expires, as absolute times: iat <=
// refresh <= stale <= due <= exp <= degraded.
type Dates struct {
	Refresh  [2]int64 `json:"refresh"`  // fetch a newer document within this window
	Stale    int64    `json:"stale"`    // from here on, the refresh is overdue
	Due      int64    `json:"due"`      // start of the grace
	Degraded int64    `json:"degraded"` // end of the fallback
}

func (d Dates) check(c Claims) error {
	if d.Refresh[0] < c.IssuedAt {
		return fault(ErrDates, "refresh is before iat")
	}
	if d.Refresh[1] < d.Refresh[0] {
		return fault(ErrDates, "refresh window ends before it begins")
	}
	if d.Stale < d.Refresh[1] {
		return fault(ErrDates, "stale is before refresh")
	}
	if d.Due < d.Stale {
		return fault(ErrDates, "due is before stale")
	}
	if c.Expires < d.Due {
		return fault(ErrDates, "exp is before due")
	}
	if d.Degraded < c.Expires {
		return fault(ErrDates, "degraded is before exp")
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
		return fault(ErrDates, "nbf is before iat")
	}
	if c.Expires <= c.NotBefore {
		return fault(ErrDates, "exp is not after nbf")
	}
	if c.Seq.Epoch < 0 || c.Seq.Counter < 0 {
		return fault(ErrFormat, "seq is negative")
	}
	return nil
}

// checkRights checks the additional claims of a document about a license.
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

// A document is any of the nine kinds of documents.
type document interface {
	kind() Type
	common() Claims
	check() error    // checks the document by itself
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
