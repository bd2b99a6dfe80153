package license

import (
	"crypto/sha256"
	"encoding/hex"
)

// A Reply answers one question, told by its nonce.
type Reply struct {
	Claims
	Nonce    string   `json:"nonce"`
	Decision Decision `json:"decision"`
	Document string   `json:"document,omitempty"` // DocumentHash of the document it speaks of
	Time     int64    `json:"time"`               // the server's, seconds
	Head     *Head    `json:"head,omitempty"`
	Entry    string   `json:"entry,omitempty"`
	Node     string   `json:"node,omitempty"`
}

func (Reply) kind() Type        { return TypeReply }
func (r Reply) lastDate() int64 { return r.Expires }

// DocumentHash names a document in a reply: SHA-256, hexadecimal.
func DocumentHash(compact string) string {
	sum := sha256.Sum256([]byte(compact))
	return hex.EncodeToString(sum[:])
}

// Covers returns ErrDocument unless the reply speaks of this document.
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
