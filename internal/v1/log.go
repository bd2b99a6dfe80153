package v1

import (
	"encoding/json"
	"time"

	"copyhold.dev/internal/audit"
)

// A LogEntry is an entry in the form that people and programs read.
type LogEntry struct {
	Index    int64           `json:"index"`
	Hash     string          `json:"hash"` // leaf hash, hex
	At       time.Time       `json:"at"`
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Actor    string          `json:"actor,omitempty"`
	License  string          `json:"license,omitempty"`
	Product  string          `json:"product,omitempty"`
	Customer string          `json:"customer,omitempty"`
	Pool     string          `json:"pool,omitempty"`
	Meter    string          `json:"meter,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	Request  string          `json:"request,omitempty"` // the program's own id of the request
	Call     string          `json:"call,omitempty"`    // the server's own id of the request
	Data     json.RawMessage `json:"data,omitempty"`
	Erased   bool            `json:"erased,omitempty"` // actor, subject, request, call and data were erased
	Leaf     string          `json:"leaf,omitempty"`   // exact bytes that the hash covers; one entry only
	Salt     string          `json:"salt,omitempty"`   // with the payload, yields the digest in the leaf; one entry only
}

// LogHead is the log's published head.
type LogHead struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"`   // base64
	Signed string `json:"signed"` // C2SP checkpoint
	Key    string `json:"key"`    // verifier key, C2SP signed-note
}

// A LogProof proves an entry to anyone who has the log's key.
type LogProof struct {
	audit.Inclusion
	Leaf string `json:"leaf"`  // the entry's exact bytes
	Text string `json:"proof"` // the same proof as C2SP tlog-proof
	Key  string `json:"key"`   // verifier key; get it from another source
}
