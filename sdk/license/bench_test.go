package license

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// BenchmarkFile verifies a license file from the pinned root set alone: two
// signatures of the key set and one of the document. BareFile is what it is
// measured against: as many Ed25519 verifications, and decoding.
func BenchmarkFile(b *testing.B) {
	v, cold, bundle := benchFile(b)
	for b.Loop() {
		w, err := cold.WithBundle(bundle, v)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.License(bundle.Doc, v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareFile(b *testing.B) {
	_, cold, bundle := benchFile(b)
	keys := keysByKid(b, cold, bundle)
	for b.Loop() {
		for i, compact := range append([]string{bundle.Doc}, bundle.KeySet...) {
			to := any(new(KeySet))
			if i == 0 {
				to = new(License)
			}
			if i == 2 {
				to = nil // the same payload as before
			}
			bare(b, keys, compact, to)
		}
	}
}

// BenchmarkWarm verifies a document under the key set in force: one signature.
func BenchmarkWarm(b *testing.B) {
	now, cold, bundle := benchFile(b)
	v, err := cold.WithBundle(bundle, now)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w, err := v.WithBundle(bundle, now)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.License(bundle.Doc, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareWarm(b *testing.B) {
	_, cold, bundle := benchFile(b)
	keys := keysByKid(b, cold, bundle)
	for b.Loop() {
		bare(b, keys, bundle.Doc, new(License))
	}
}

func BenchmarkStanding(b *testing.B) {
	l := ladderLicense(nil)
	for b.Loop() {
		_ = l.Standing(Facts{}, 210)
	}
}

func BenchmarkSign(b *testing.B) {
	a := newAuthority(b)
	l := ladderLicense(nil)
	for b.Loop() {
		if _, err := Sign(TypeLicense, l, a.kid, func(m []byte) []byte { return ed25519.Sign(a.key, m) }); err != nil {
			b.Fatal(err)
		}
	}
}

func benchFile(b *testing.B) (now int64, cold *Verifier, bundle Bundle) {
	b.Helper()
	v := readVectors(b)
	for _, one := range v.accepted {
		if one.Name != "file" {
			continue
		}
		cold, err := v.verifier(v.trust[one.Trust], false, one.Now)
		if err != nil {
			b.Fatal(err)
		}
		if bundle, err = DecodeBundle(one.Data); err != nil {
			b.Fatal(err)
		}
		return one.Now, cold, bundle
	}
	b.Fatal("no such vector")
	return
}

func keysByKid(b *testing.B, cold *Verifier, bundle Bundle) map[string]ed25519.PublicKey {
	b.Helper()
	keys := map[string]ed25519.PublicKey{}
	w, err := cold.WithBundle(bundle, 1_800_000_000)
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range append(w.RootSet().Keys, w.KeySet().Keys...) {
		pub, err := k.Public()
		if err != nil {
			b.Fatal(err)
		}
		keys[k.Kid] = pub
	}
	return keys
}

// bare verifies as a stock library does at the least: the header's kid, one
// signature, and the payload if it is wanted.
func bare(b *testing.B, keys map[string]ed25519.PublicKey, compact string, to any) {
	parts := strings.Split(compact, ".")
	var head struct{ Kid string }
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err == nil {
		err = json.Unmarshal(raw, &head)
	}
	if err != nil {
		b.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		b.Fatal(err)
	}
	if !ed25519.Verify(keys[head.Kid], []byte(compact[:len(compact)-len(parts[2])-1]), sig) {
		b.Fatal("signature")
	}
	if to == nil {
		return
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, to)
	}
	if err != nil {
		b.Fatal(err)
	}
}
