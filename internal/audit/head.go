package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Head is the log's size and root hash under its origin: a C2SP checkpoint.
type Head struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Origin names the log of an issuer in one epoch. It is the first line of every
// head and the name of the key that signs it.
func Origin(issuer string, epoch int64) string {
	return issuer + "/log/" + strconv.FormatInt(epoch, 10)
}

// Text returns the checkpoint without signatures.
func (h Head) Text() string {
	return h.Origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" + h.RootText() + "\n"
}

// RootText returns the root hash in base64.
func (h Head) RootText() string { return base64.StdEncoding.EncodeToString(h.Root[:]) }

// ParseHead reads a checkpoint, signed or not, without verifying a signature.
// Extension lines are refused: this log writes none.
func ParseHead(text string) (Head, error) {
	if body, _, signed := strings.Cut(text, "\n\n"); signed {
		text = body + "\n"
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] == "" || lines[3] != "" {
		return Head{}, fmt.Errorf("log head is not three lines: origin, size, root")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Head{}, fmt.Errorf("log head has no valid size: %q", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Head{}, fmt.Errorf("log head has no valid root: %q", lines[2])
	}
	return Head{Origin: lines[0], Size: size, Root: tlog.Hash(root)}, nil
}

// Sign returns the signed head. Sign makes an Ed25519 signature with the log key.
func (h Head) Sign(public ed25519.PublicKey, sign func([]byte) []byte) (string, error) {
	signed, err := note.Sign(&note.Note{Text: h.Text()}, signer{h.Origin, public, sign})
	if err != nil {
		return "", fmt.Errorf("signing log head: %w", err)
	}
	return string(signed), nil
}

// VerifierKey returns the log's key in the form of C2SP signed-note, which any
// client of such logs accepts.
func VerifierKey(origin string, public ed25519.PublicKey) string {
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return "" // only for a key of the wrong length
	}
	return text
}

// OpenHead verifies a signed head with the log's verifier key.
func OpenHead(signed, key string) (Head, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return Head{}, fmt.Errorf("reading log key: %w", err)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	if err != nil {
		return Head{}, fmt.Errorf("opening log head: %w", err)
	}
	h, err := ParseHead(n.Text)
	if err != nil {
		return Head{}, err
	}
	if h.Origin != v.Name() {
		return Head{}, fmt.Errorf("log head of %s is signed by %s", h.Origin, v.Name())
	}
	return h, nil
}

// signer is a note.Signer for a key that it does not have.
type signer struct {
	name   string
	public ed25519.PublicKey
	sign   func([]byte) []byte
}

func (s signer) Name() string                    { return s.name }
func (s signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg), nil }

// KeyHash is the key id of C2SP signed-note for Ed25519 (type 1).
func (s signer) KeyHash() uint32 {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(s.name + "\n\x01"), s.public}, nil))
	return binary.BigEndian.Uint32(sum[:])
}
