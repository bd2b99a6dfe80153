package license

import (
	"crypto/sha256"
	"encoding/hex"
)

// A Reply answers one request, which its nonce identifies.
type Reply struct {
	Claims
	Nonce    string   `json:"nonce"`
	Decision Decision `json:"decision"`
	Document string   `json:"document,omitempty"` // DocumentHash of the document that it refers to
	Time     int64    `json:"time"`               // the server's time, unix seconds
	Head     *Head    `json:"head,omitempty"`
	Entry    string   `json:"entry,omitempty"`
	Node     string   `json:"node,omitempty"`
}

func (Reply) kind() Type        { return TypeReply }
func (r Reply) lastDate() int64 { return r.Expires }

// DocumentHash returns the name of a document in a reply: its SHA-256 in hexadecimal.
func DocumentHash(compact string) string {
	sum := sha256.Sum256([]byte(compact))
	return hex.EncodeToString(sum[:])
}

// Covers returns ErrDocument unless the reply refers to this document.
func (r *Reply) Covers(compact string) error {
	if r.Document != DocumentHash(compact) {
		return ErrDocument
	}
	return nil
}

func (r Reply) check() error {
	if err := r.checkRights(); err != nil {
		return err
	}
	if r.Time <= 0 {
		return fault(ErrFormat, "no time")
	}
	switch r.Decision.Outcome {
	case Allowed, Denied, Unavailable:
		return nil
	}
	return fault(ErrFormat, "outcome %q", r.Decision.Outcome)
}
