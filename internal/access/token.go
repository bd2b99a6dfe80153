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

// A token has the form cht_ENV_ID_SECRET_CRC: its environment, its public id (26
// characters), 160 secret bits, and the CRC-32 of everything before it. Scanners can
// recognize a leaked token, and a mistyped one is refused without a lookup.
const (
	tokenPrefix  = "cht"
	secretLength = 32
)

// A Digest is the SHA-256 of a secret. Nothing else of the secret is stored or cached.
type Digest [sha256.Size]byte

// Hash returns the digest of secret. Secrets of tokens and license keys have at least 128
// random bits, so guessing is hopeless even with a plain hash.
func Hash(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// Equal compares digests in constant time.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// String returns d in hexadecimal, the form in which it is stored.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MaxForeignKey is the longest imported license key, in bytes.
const MaxForeignKey = 256

// KeyDigest returns the digest under which a license key is stored. A key that begins like
// a Copyhold key but has a wrong checksum, or is longer than MaxForeignKey, is refused
// without a lookup, with code unauthenticated. Any other key may be an imported one.
func KeyDigest(text string) (Digest, error) {
	if _, canonical, err := licensing.ParseKey(text); err == nil {
		return licensing.HashKey(canonical), nil
	} else if strings.HasPrefix(strings.ToUpper(text), "CH-") || len(text) > MaxForeignKey {
		return Digest{}, licensing.Errorf(licensing.Unauthenticated, "%w", err)
	}
	return licensing.HashKey(text), nil
}

// ParseDigest reads the form that String writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, licensing.Errorf(licensing.Internal, "a stored digest is damaged")
	}
	return Digest(b), nil
}

// NewToken writes the token with the given id (tok_…) in env, or in AllEnvironments
// if it spans them.
func NewToken(env licensing.Env, id licensing.TokenID, secret [20]byte) string {
	body := strings.Join([]string{tokenPrefix, string(env),
		strings.TrimPrefix(string(id), licensing.TokenPrefix+"_"),
		tokenEncoding().EncodeToString(secret[:])}, "_")
	return body + "_" + checksum(body)
}

// ParseToken returns the environment and the id in a token. A well-formed token proves
// nothing; compare its digest with the stored one.
func ParseToken(token string) (licensing.Env, licensing.TokenID, error) {
	malformed := licensing.Errorf(licensing.Unauthenticated, "the credential is not a Copyhold token")
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

// cutLast splits s at its last underscore, because the name of an environment may contain some.
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
