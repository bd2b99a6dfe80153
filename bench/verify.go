package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

const benchIssuer = "urn:copyhold:bench:production"

// trust is a root and one signing key that were created for a measurement.
type trust struct {
	root, signer ed25519.PrivateKey
	verifier     *license.Verifier
	rootSet      []string
	keySet       []string
	now          int64
}

func newTrust() (*trust, error) {
	t := &trust{now: time.Now().Unix()}
	for _, key := range []*ed25519.PrivateKey{&t.root, &t.signer} {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		*key = private
	}
	claims := func(id string) license.Claims {
		return license.Claims{Issuer: benchIssuer, IssuedAt: t.now, NotBefore: t.now, Expires: t.now + 1e8, ID: id, Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: 1}}
	}
	trusted := func(key ed25519.PrivateKey, kinds ...license.Type) license.Key {
		return license.NewKey(key.Public().(ed25519.PublicKey), kinds, t.now, t.now+1e7, t.now+1e8)
	}
	rootSet, err := t.sign(t.root, license.TypeRootSet, license.RootSet{Claims: claims("root"), Number: 1, K: 1,
		Keys: []license.Key{trusted(t.root, license.TypeRootSet, license.TypeKeySet)}})
	if err != nil {
		return nil, err
	}
	keySet, err := t.sign(t.root, license.TypeKeySet, license.KeySet{Claims: claims("keys"), Number: 1,
		Keys: []license.Key{trusted(t.signer, license.TypeLicense, license.TypeLease)}})
	if err != nil {
		return nil, err
	}
	v, err := license.NewVerifier(benchIssuer, "lathe", []string{rootSet})
	if err != nil {
		return nil, err
	}
	t.rootSet, t.keySet = []string{rootSet}, []string{keySet}
	t.verifier, err = v.WithKeySet(t.keySet, t.now)
	return t, err
}

func (t *trust) sign(key ed25519.PrivateKey, kind license.Type, claims any) (string, error) {
	kid := license.Thumbprint(key.Public().(ed25519.PublicKey))
	return license.Sign(kind, claims, kid, func(m []byte) []byte { return ed25519.Sign(key, m) })
}

// document is a license with twenty features, which is realistic for a larger vendor.
func (t *trust) document() license.License {
	l := license.License{
		Claims: license.Claims{Issuer: benchIssuer, Audience: []string{"lathe"}, Subject: "lic_01jd0000000000000000000000", IssuedAt: t.now, NotBefore: t.now,
			Expires: t.now + 86400*21, ID: "doc_01jd0000000000000000000000", Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: 7}},
		Dates:    license.Dates{Refresh: [2]int64{t.now + 80000, t.now + 90000}, Stale: t.now + 172800, Due: t.now + 86400*7, Degraded: t.now + 86400*51},
		Customer: "cus_01jd0000000000000000000000", Plan: "studio", Revision: strings.Repeat("0123456789abcdef", 4), Edition: "pro", Status: license.Active,
		Features: map[string]license.Feature{}, Fallback: map[string]license.Feature{},
		Pools:  map[string]license.Pool{"seats": {Capacity: 25, Holder: "user", Full: "queue"}},
		Meters: map[string]license.Meter{"calls": {Unit: "call", Quota: 100000, Per: "month", PeriodStart: t.now - 86400, PeriodEnd: t.now + 86400*20}},
	}
	for i := range 20 {
		l.Features[fmt.Sprintf("feature_%02d", i)] = license.Feature{Value: license.BoolValue(i%3 != 0)}
	}
	l.Fallback["feature_01"] = license.Feature{Value: license.BoolValue(true)}
	return l
}

// measureVerify compares the verifier with one bare Ed25519 verification and
// the standard library's decoding of the same payload.
func measureVerify(ctx context.Context, s settings) ([]row, error) {
	t, err := newTrust()
	if err != nil {
		return nil, err
	}
	compact, err := t.sign(t.signer, license.TypeLicense, t.document())
	if err != nil {
		return nil, err
	}
	if _, err := t.verifier.License(compact, t.now); err != nil {
		return nil, err
	}
	public := t.signer.Public().(ed25519.PublicKey)
	var allocs float64
	ours := func() (float64, error) {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.verifier.License(compact, t.now); err != nil {
					b.Fatal(err)
				}
			}
		})
		allocs = float64(r.AllocsPerOp())
		return nanoseconds(r), nil
	}
	bare := func() (float64, error) {
		return nanoseconds(testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if err := bareVerify(public, compact); err != nil {
					b.Fatal(err)
				}
			}
		})), nil
	}
	a, b, ratios, err := pair(ctx, s.pairs, ours, bare)
	if err != nil {
		return nil, err
	}
	r := atMost("verify a license file", "ns", 1.25, a, b, ratios)
	r.Allocs = &allocs
	r.Note = fmt.Sprintf("%d bytes, warm key set; the yardstick is one ed25519.Verify and encoding/json's decoding of the same payload.", len(compact))
	return []row{r}, nil
}

func bareVerify(public ed25519.PublicKey, compact string) error {
	dot := strings.LastIndexByte(compact, '.')
	signature, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	if err != nil {
		return err
	}
	if !ed25519.Verify(public, []byte(compact[:dot]), signature) {
		return license.ErrSignature
	}
	payload, err := base64.RawURLEncoding.DecodeString(compact[strings.IndexByte(compact, '.')+1 : dot])
	if err != nil {
		return err
	}
	var l license.License
	return json.Unmarshal(payload, &l)
}

func nanoseconds(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }
