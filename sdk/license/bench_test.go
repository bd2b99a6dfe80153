package license

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkFile verifies a license file starting from only the pinned root set: two signatures on
// the key set and one on the document. The yardstick is the same number of bare Ed25519
// verifications, plus decoding.
func BenchmarkFile(b *testing.B) {
	now, cold, bundle := benchFile(b)
	keys := keysByKid(b, cold, bundle)
	ours := func() error {
		w, err := cold.WithBundle(bundle, now)
		if err == nil {
			_, err = w.License(bundle.Doc, now)
		}
		return err
	}
	pairs(b, ours, func() error {
		return errors.Join(bare(keys, bundle.KeySet[0], new(KeySet)), bare(keys, bundle.KeySet[1], nil), bare(keys, bundle.Doc, new(License)))
	})
}

// BenchmarkWarm verifies a file under the key set in force: one signature.
func BenchmarkWarm(b *testing.B) {
	now, cold, bundle := benchFile(b)
	keys := keysByKid(b, cold, bundle)
	v, err := cold.WithBundle(bundle, now)
	if err != nil {
		b.Fatal(err)
	}
	ours := func() error {
		w, err := v.WithBundle(bundle, now)
		if err == nil {
			_, err = w.License(bundle.Doc, now)
		}
		return err
	}
	pairs(b, ours, func() error { return bare(keys, bundle.Doc, new(License)) })
}

// BenchmarkSign signs a license. The yardstick is encoding the license and a bare signature.
func BenchmarkSign(b *testing.B) {
	a := newAuthority(b)
	l := ladderLicense(nil)
	ours := func() error {
		_, err := Sign(TypeLicense, l, a.kid, func(m []byte) []byte { return ed25519.Sign(a.key, m) })
		return err
	}
	pairs(b, ours, func() error {
		payload, err := json.Marshal(l)
		_ = ed25519.Sign(a.key, []byte(base64.RawURLEncoding.EncodeToString(payload)))
		return err
	})
}

// pairs runs our code and the yardstick alternately and reports the median of their ratios.
func pairs(b *testing.B, ours, yardstick func() error) {
	const rounds, each = 31, 40
	var ratios []float64
	clock := func(run func() error) time.Duration {
		start := time.Now()
		for range each {
			if err := run(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	for b.Loop() {
		for range rounds {
			ratios = append(ratios, float64(clock(ours))/float64(clock(yardstick)))
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkStanding(b *testing.B) {
	l := ladderLicense(nil)
	for b.Loop() {
		_ = l.Standing(Facts{}, 210)
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

// bare does the minimum that a common library does to verify: it reads the header's kid, verifies
// one signature, and decodes the payload if requested.
func bare(keys map[string]ed25519.PublicKey, compact string, to any) error {
	parts := strings.Split(compact, ".")
	var head struct{ Kid string }
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err == nil {
		err = json.Unmarshal(raw, &head)
	}
	if err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	if !ed25519.Verify(keys[head.Kid], []byte(compact[:len(compact)-len(parts[2])-1]), sig) {
		return ErrSignature
	}
	if to == nil {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, to)
	}
	return err
}
