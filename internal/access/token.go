package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"copyhold.dev/internal/licensing"
)

// A token reads cht_ENV_ID_SECRET_CRC: its environment, its public id (26
// characters), 160 secret bits and the CRC-32 of all before it, so that a
// scanner recognises a leaked one and a mistyped one is refused unread.
const (
	tokenPrefix  = "cht"
	secretLength = 32
)

// A Digest is the SHA-256 of a secret: all that is stored or cached of it.
type Digest [sha256.Size]byte

// Hash returns the digest of secret. Token and license key secrets have 128
// random bits and more, so a plain hash is not worth guessing at.
func Hash(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// Equal compares digests in constant time.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// String returns d in hexadecimal, as it is stored.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MaxForeignKey is the longest imported license key, in bytes.
const MaxForeignKey = 256

// KeyDigest returns the digest that a license key is stored under. A key that begins like
// ours and has a wrong checksum is refused without a lookup, with code unauthenticated, and
// so is one longer than MaxForeignKey. Any other may be imported.
func KeyDigest(text string) (Digest, error) {
	if _, canonical, err := licensing.ParseKey(text); err == nil {
		return licensing.HashKey(canonical), nil
	} else if strings.HasPrefix(strings.ToUpper(text), "CH-") || len(text) > MaxForeignKey {
		return Digest{}, licensing.Errorf(licensing.Unauthenticated, "%w", err)
	}
	return licensing.HashKey(text), nil
}

// ParseDigest reads what String wrote.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, licensing.Errorf(licensing.Internal, "a stored digest is damaged")
	}
	return Digest(b), nil
}

// NewToken writes the token with the given id (tok_…) in env, AllEnvironments
// for one that spans them.
func NewToken(env licensing.Env, id licensing.TokenID, secret [20]byte) string {
	body := strings.Join([]string{tokenPrefix, string(env),
		strings.TrimPrefix(string(id), licensing.TokenPrefix+"_"),
		tokenEncoding().EncodeToString(secret[:])}, "_")
	return body + "_" + checksum(body)
}

// ParseToken returns the environment and the id that a token names. That it
// reads well proves nothing: compare its digest with the stored one.
func ParseToken(token string) (licensing.Env, licensing.TokenID, error) {
	malformed := licensing.Errorf(licensing.Unauthenticated, "this is no token of Copyhold")
	body, crc, ok := cutLast(token)
	if !ok || len(token) > 160 || checksum(body) != crc {
		return "", "", malformed
	}
	body, secret, _ := cutLast(body)
	body, id, _ := cutLast(body)
	prefix, env, ok := strings.Cut(body, "_")
	if !ok || prefix != tokenPrefix || len(secret) != secretLength || id == "" || env == "" {
		return "", "", malformed
	}
	return licensing.Env(env), licensing.TokenID(licensing.TokenPrefix + "_" + id), nil
}

// cutLast parts s at its last underscore: a name of an environment may hold some.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '_')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func checksum(body string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) }

func tokenEncoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
}
