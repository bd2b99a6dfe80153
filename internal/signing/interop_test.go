// Package signing_test holds the documents of sdk/license against stock JOSE
// libraries.
package signing_test

import (
	"crypto/ed25519"
	"testing"

	"copyhold.dev/sdk/license"
	"github.com/go-jose/go-jose/v4"
)

func TestGoJoseVerifiesWhatWeSign(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	list := license.Revocations{Claims: license.Claims{
		Issuer: "urn:copyhold:test:production", IssuedAt: 1, NotBefore: 1, Expires: 2, ID: "r1", Version: license.Version,
	}}
	compact, err := license.Sign(license.TypeRevocations, list, license.Thumbprint(pub),
		func(m []byte) []byte { return ed25519.Sign(priv, m) })
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(pub); err != nil {
		t.Fatal(err)
	}
}
