package audit

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"copyhold.dev/internal/licensing"
)

// SaltSize is the number of random bytes that keep a payload from being guessed from its digest.
const SaltSize = 16

// A Salt makes a payload's digest unguessable, so that erasing both erases the contents.
type Salt [SaltSize]byte

// A Leaf is the part of an entry that the tree commits to permanently. Its bytes are the JSON
// text as it was first written and is stored, so nobody needs to encode it again.
type Leaf struct {
	ID       string `json:"id"` // row and position in the row: "row/0"
	Env      string `json:"env"`
	At       int64  `json:"at"` // microseconds since 1970, UTC
	Type     string `json:"type"`
	Version  int    `json:"version"`
	License  string `json:"license,omitempty"`
	Product  string `json:"product,omitempty"`
	Customer string `json:"customer,omitempty"`
	Pool     string `json:"pool,omitempty"`
	Meter    string `json:"meter,omitempty"`
	Erases   string `json:"erases,omitempty"` // leaf hash of the entry whose payload was erased, hex
	Digest   string `json:"digest"`           // base64url SHA-256 of salt and payload
}

// A Payload is the part of an entry that can name a person. It can be erased.
type Payload struct {
	Actor   string          `json:"actor,omitempty"`
	Subject string          `json:"subject,omitempty"`
	Request string          `json:"request,omitempty"`
	Call    string          `json:"call,omitempty"` // the server's own id of the request
	Data    json.RawMessage `json:"data,omitempty"`
}

// An Entry is one event in the log. Leaf and Payload are exact bytes. Salt and
// Payload are absent after an erasure.
type Entry struct {
	Leaf    json.RawMessage `json:"entry"`
	Salt    string          `json:"salt,omitempty"` // base64url
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Hash returns the RFC 6962 leaf hash of the entry.
func (e Entry) Hash() tlog.Hash { return tlog.RecordHash(e.Leaf) }

// Erased reports whether the payload was erased.
func (e Entry) Erased() bool { return e.Salt == "" && len(e.Payload) == 0 }

// Fields decodes the leaf.
func (e Entry) Fields() (Leaf, error) {
	var l Leaf
	if err := json.Unmarshal(e.Leaf, &l); err != nil {
		return Leaf{}, fmt.Errorf("reading leaf: %w", err)
	}
	return l, nil
}

// checkPayload compares salt and payload with the digest in the leaf.
func (e Entry) checkPayload(digest string) error {
	salt, err := base64.RawURLEncoding.DecodeString(e.Salt)
	if err != nil || len(salt) != SaltSize {
		return fmt.Errorf("salt is not %d bytes", SaltSize)
	}
	if subtle.ConstantTimeCompare([]byte(payloadDigest(Salt(salt), e.Payload)), []byte(digest)) != 1 {
		return fmt.Errorf("payload does not match its digest")
	}
	return nil
}

// payloadDigest is unambiguous because all salts have the same length.
func payloadDigest(salt Salt, payload []byte) string {
	h := sha256.New()
	h.Write(salt[:])
	h.Write(payload)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// A Row collects entries of one transaction. It is not safe for concurrent use.
type Row struct {
	id       string
	body     []byte
	hash     []tlog.Hash
	licenses []licensing.LicenseID // each once
}

// NewRow returns an empty row. Its id is unique in its environment and is part of
// every leaf, so that entries cannot be moved between rows.
func NewRow(id string) *Row { return &Row{id: id, body: append(make([]byte, 0, rowSpace), '[')} }

// rowSpace is the initial size of a row, enough for a few entries.
const rowSpace = 4 << 10

// Add appends an event and returns its leaf hash. It fails if the event's data
// is not valid JSON. The subject of an event of type licensing.PayloadErased must be
// the leaf hash, in hex, of the entry that loses its payload.
func (r *Row) Add(e licensing.Event, salt Salt) ([sha256.Size]byte, error) {
	payload, err := encodePayload(e)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("encoding event %s: %w", e.Type, err)
	}
	if len(r.hash) > 0 {
		r.body = append(r.body, ',')
	}
	r.body = append(r.body, `{"entry":`...)
	start := len(r.body)
	r.body = appendLeaf(r.body, e, r.id, len(r.hash), payloadDigest(salt, payload))
	hash := tlog.RecordHash(r.body[start:])
	r.body = append(r.body, `,"salt":"`...)
	r.body = base64.RawURLEncoding.AppendEncode(r.body, salt[:])
	r.body = append(r.body, `","payload":`...)
	r.body = append(r.body, payload...)
	r.body = append(r.body, '}')
	r.hash = append(r.hash, hash)
	if e.License != "" && !slices.Contains(r.licenses, e.License) {
		r.licenses = append(r.licenses, e.License)
	}
	return hash, nil
}

// ID returns the row's id.
func (r *Row) ID() string { return r.id }

// Len returns the number of entries in the row.
func (r *Row) Len() int { return len(r.hash) }

// Licenses returns the licenses that the row's entries are about, each once.
func (r *Row) Licenses() []licensing.LicenseID { return slices.Clone(r.licenses) }

// Body returns the row as a JSON array of entries, which may be stored as it is or
// packed. It is valid until the next entry is added.
func (r *Row) Body() []byte {
	r.body = append(r.body, ']')
	body := r.body
	r.body = body[:len(body)-1]
	return body
}

// Leaves returns the concatenated leaf hashes of the row's entries.
func (r *Row) Leaves() []byte {
	out := make([]byte, 0, len(r.hash)*tlog.HashSize)
	for _, h := range r.hash {
		out = append(out, h[:]...)
	}
	return out
}

// ReadRow decodes a stored row, packed or not.
func ReadRow(stored []byte) ([]Entry, error) {
	body, err := Unpack(stored)
	if err != nil {
		return nil, fmt.Errorf("reading log row: %w", err)
	}
	var entries []Entry
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, fmt.Errorf("reading log row: %w", err)
	}
	return entries, nil
}

// Erase returns a stored row without the salt and payload of the entry at position n, in the same
// form.
func Erase(stored []byte, n int) ([]byte, error) {
	entries, err := ReadRow(stored)
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= len(entries) {
		return nil, fmt.Errorf("row has no entry at position %d", n)
	}
	entries[n] = Entry{Leaf: entries[n].Leaf}
	body, err := json.Marshal(entries)
	if err == nil && IsPacked(stored) {
		body = Pack(body)
	}
	return body, err
}

// HashText writes a leaf hash in the form that documents and interfaces use.
func HashText(h [sha256.Size]byte) string { return hex.EncodeToString(h[:]) }

// encodePayload writes a payload that json.Marshal would not change.
func encodePayload(e licensing.Event) ([]byte, error) {
	p := Payload{Actor: e.Actor, Subject: e.Subject, Request: e.Request, Call: e.Call}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, err
	}
	if string(data) != "null" {
		p.Data = data
	}
	b := append(make([]byte, 0, 128+len(data)), '{')
	b = appendField(b, "actor", p.Actor)
	b = appendField(b, "subject", p.Subject)
	b = appendField(b, "request", p.Request)
	b = appendField(b, "call", p.Call)
	if p.Data != nil {
		b = appendName(b, "data")
		b = append(b, p.Data...)
	}
	return append(b, '}'), nil
}

func appendLeaf(b []byte, e licensing.Event, row string, n int, digest string) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, row)
	b = strconv.AppendInt(append(b[:len(b)-1], '/'), int64(n), 10)
	b = append(b, '"')
	b = appendField(b, "env", string(e.Env))
	b = strconv.AppendInt(append(b, `,"at":`...), e.At.UnixMicro(), 10)
	b = appendField(b, "type", e.Type)
	b = strconv.AppendInt(append(b, `,"version":`...), int64(e.Version), 10)
	b = appendField(b, "license", string(e.License))
	b = appendField(b, "product", string(e.Product))
	b = appendField(b, "customer", string(e.Customer))
	b = appendField(b, "pool", e.Pool)
	b = appendField(b, "meter", e.Meter)
	if e.Type == licensing.PayloadErased {
		b = appendField(b, "erases", e.Subject)
	}
	b = appendField(b, "digest", digest)
	return append(b, '}')
}

func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendName(b, name), value)
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, `":`...)
}

// appendString appends s as json.Marshal would, but faster for plain text.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // encoding a string cannot fail
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
