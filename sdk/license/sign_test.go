package license

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

// authority is a root key and a signing key, for tests that sign.
type authority struct {
	verifier *Verifier
	kid      string
	key      ed25519.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	seed := func(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }
	pub := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
	root, key := seed(1), seed(2)
	c := Claims{Issuer: "urn:x", IssuedAt: 5, NotBefore: 5, Expires: 1e6, ID: "s", Version: 1}
	roots := RootSet{Claims: c, Number: 1, K: 1, Keys: []Key{NewKey(pub(root), []Type{TypeKeySet, TypeRootSet}, 1, 1e6, 1e6)}}
	keys := KeySet{Claims: c, Number: 1, Keys: []Key{NewKey(pub(key), []Type{TypeLicense, TypeLease}, 1, 1e6, 1e7)}}
	v, err := NewVerifier("urn:x", "lathe", []string{mustSign(t, roots, root)})
	if err != nil {
		t.Fatal(err)
	}
	if v, err = v.WithKeySet([]string{mustSign(t, keys, root)}, 10); err != nil {
		t.Fatal(err)
	}
	return authority{v, Thumbprint(pub(key)), key}
}

func mustSign(t testing.TB, doc document, key ed25519.PrivateKey) string {
	t.Helper()
	compact, err := Sign(doc.kind(), doc, Thumbprint(key.Public().(ed25519.PublicKey)), func(m []byte) []byte { return ed25519.Sign(key, m) })
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func TestSignedIsVerified(t *testing.T) {
	a := newAuthority(t)
	want := ladderLicense(nil)
	got, err := a.verifier.License(mustSign(t, want, a.key), 20)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != want.ID || got.Features["layers"] != want.Features["layers"] || got.Standing(Facts{}, 20) != want.Standing(Facts{}, 20) {
		t.Errorf("%+v", got)
	}
	if kind, err := Peek(mustSign(t, want, a.key)); kind != TypeLicense || err != nil {
		t.Errorf("%s, %v", kind, err)
	}
	if _, err := Peek("license"); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

// TestNothingIsSignedThatWouldBeRefused checks that the signer applies the verifier's rules.
func TestNothingIsSignedThatWouldBeRefused(t *testing.T) {
	a := newAuthority(t)
	sign := func(m []byte) []byte { return ed25519.Sign(a.key, m) }
	for _, one := range []struct {
		name string
		edit func(*License)
		want error
	}{
		{"dates", func(l *License) { l.Due = l.Stale - 1 }, ErrDates},
		{"version", func(l *License) { l.Version = 2 }, ErrVersion},
		{"no value", func(l *License) { l.Features["none"] = Feature{} }, ErrFormat},
		{"features that differ by case", func(l *License) { l.Features["Export"] = Feature{Value: BoolValue(true)} }, ErrFormat},
		{"feature beyond ASCII", func(l *License) { l.Features["é"] = Feature{Value: BoolValue(true)} }, ErrFormat},
		{"number too large", func(l *License) { l.Features["big"] = Feature{Value: IntValue(MaxInt + 1)} }, ErrFormat},
		{"NUL", func(l *License) { l.Customer = "a\x00b" }, ErrFormat},
		{"too long", func(l *License) { l.Customer = strings.Repeat("a", MaxDocument) }, ErrFormat},
	} {
		if _, err := Sign(TypeLicense, ladderLicense(one.edit), a.kid, sign); !errors.Is(err, one.want) {
			t.Errorf("%s: %v, want %v", one.name, err, one.want)
		}
	}
	if _, err := Sign(TypeLease, ladderLicense(nil), a.kid, sign); !errors.Is(err, ErrType) {
		t.Error(err)
	}
	if _, err := Sign(TypeLicense, map[string]any{}, a.kid, sign); !errors.Is(err, ErrType) {
		t.Error(err)
	}
	if _, err := Sign(TypeLicense, ladderLicense(nil), a.kid, func([]byte) []byte { return nil }); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	zero := KeySet{Claims: Claims{Issuer: "urn:x", IssuedAt: 5, NotBefore: 5, Expires: 9, ID: "s", Version: 1}, Number: 1,
		Keys: []Key{NewKey(make([]byte, 32), []Type{TypeLicense}, 1, 2, 3)}}
	if _, err := Sign(TypeKeySet, zero, a.kid, sign); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

func TestBindingMatches(t *testing.T) {
	b := &Binding{Need: 2, Components: map[string]string{"a": "1", "b": "2", "c": "3"}}
	for _, one := range []struct {
		components map[string]string
		want       bool
	}{
		{map[string]string{"a": "1", "b": "2", "c": "x"}, true},
		{map[string]string{"a": "1", "b": "x", "c": "x"}, false},
		{map[string]string{}, false},
		{nil, false},
	} {
		if b.Matches(one.components) != one.want {
			t.Errorf("%v", one.components)
		}
	}
	if !(*Binding)(nil).Matches(nil) || !(&Binding{Holder: "x"}).Matches(nil) {
		t.Error("a binding that asks for nothing")
	}
}
