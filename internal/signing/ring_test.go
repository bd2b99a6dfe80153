package signing_test

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/sdk/license"
)

const (
	env    = licensing.Env("production")
	issuer = "urn:copyhold:01jd0000000000000000000000:production"
)

var start = time.Date(2026, 11, 22, 3, 0, 0, 123456789, time.UTC)

// A keyFixture is an environment's keys and their verifier.
type keyFixture struct {
	t       *testing.T
	sealing *signing.SealingKey
	m       signing.Material
	ring    *signing.Ring
	seq     int64
}

func newKeyFixture(t *testing.T) *keyFixture {
	t.Helper()
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := signing.Create(env, issuer, 1, sealing, start)
	if err != nil {
		t.Fatal(err)
	}
	w := &keyFixture{t: t, sealing: sealing, m: m, ring: signing.NewRing(sealing)}
	w.load()
	return w
}

func (w *keyFixture) load() {
	w.t.Helper()
	if err := w.ring.Load(w.m); err != nil {
		w.t.Fatal(err)
	}
}

// sign signs a list of revocations, the smallest document.
func (w *keyFixture) sign(now time.Time) (string, error) {
	w.seq++
	return w.ring.Sign(env, license.TypeRevocations, license.Revocations{Claims: license.Claims{
		Issuer: issuer, Audience: []string{"lathe"}, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(time.Hour).Unix(),
		ID: fmt.Sprint(w.seq), Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: w.seq},
	}, Revoked: []license.Revocation{}}, now)
}

// verifier trusts the first root set and the key set in force.
func (w *keyFixture) verifier(now time.Time) *license.Verifier {
	w.t.Helper()
	v, err := license.NewVerifier(issuer, "lathe", w.ring.RootSet(env))
	if err != nil {
		w.t.Fatal(err)
	}
	if v, err = v.WithKeySet(w.ring.KeySet(env), now.Unix()); err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *keyFixture) accepted(compact string, now time.Time) {
	w.t.Helper()
	if _, err := w.verifier(now).Revocations(compact, now.Unix()); err != nil {
		w.t.Errorf("at %s: %v", now, err)
	}
}

func (w *keyFixture) must(m signing.Material, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	w.load()
}

func TestTwoYearsOfKeysFollowOneAnotherWithoutTheRoot(t *testing.T) {
	w := newKeyFixture(t)
	w.exportAndRemove()
	used := map[string]bool{}
	for now := start; now.Before(start.AddDate(2, 0, 0)); now = now.Add(10 * 24 * time.Hour) {
		if w.m.Due(now) {
			m, err := w.m.Tend(w.sealing, now)
			w.must(m, err)
		}
		compact, err := w.sign(now)
		if err != nil {
			t.Fatalf("at %s: %v", now, err)
		}
		w.accepted(compact, now)
		used[w.ring.Active(env, now)] = true
	}
	if len(used) != 9 {
		t.Errorf("%d keys signed in two years, want 9 turns of 90 days", len(used))
	}
	if keys, set := w.ring.SignsUntil(env); keys.Before(start.AddDate(2, 0, 0)) || set.Before(start.AddDate(2, 0, 0)) {
		t.Errorf("keys end at %s, the key set at %s", keys, set)
	}
	for _, k := range w.m.Keys {
		if k.Use == licensing.DocumentKey && !k.RetiredAt.IsZero() && k.Present() {
			t.Errorf("the private part of %s is kept after its turn", k.ID)
		}
	}
}

// exportAndRemove takes the root away and returns it.
func (w *keyFixture) exportAndRemove() signing.Secret {
	w.t.Helper()
	if _, err := signing.RemoveRoot(w.m); licensing.CodeOf(err) != licensing.Conflict {
		w.t.Fatalf("removed before it was exported: %v", err)
	}
	root, m, err := signing.ExportRoot(w.m, w.sealing, start)
	w.must(m, err)
	m, err = signing.RemoveRoot(w.m)
	w.must(m, err)
	return root
}

func TestRotationNeedsNoRootAndKeepsWhatWasSigned(t *testing.T) {
	w := newKeyFixture(t)
	root := w.exportAndRemove()
	var before []string
	for range 11 {
		compact, err := w.sign(start)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, compact)
		m, err := signing.Rotate(w.m, w.sealing, start)
		w.must(m, err)
	}
	for _, compact := range before {
		w.accepted(compact, start)
	}
	if _, err := signing.Rotate(w.m, w.sealing, start); licensing.CodeOf(err) != licensing.Conflict {
		t.Fatalf("rotated beyond the last prepared key: %v", err)
	}
	m, err := signing.ImportRoot(w.m, root, w.sealing)
	w.must(m, err)
	m, err = signing.Rotate(w.m, w.sealing, start)
	w.must(m, err)
	compact, err := w.sign(start)
	if err != nil {
		t.Fatal(err)
	}
	w.accepted(compact, start)
}

func TestKeysArePreparedAnewWhileTheRootIsHere(t *testing.T) {
	w := newKeyFixture(t)
	for now := start; now.Before(start.AddDate(12, 0, 0)); now = now.Add(30 * 24 * time.Hour) {
		if w.m.Due(now) {
			m, err := w.m.Tend(w.sealing, now)
			w.must(m, err)
		}
		compact, err := w.sign(now)
		if err != nil {
			t.Fatalf("at %s: %v", now, err)
		}
		w.accepted(compact, now)
		if _, set := w.ring.SignsUntil(env); set.Before(now.AddDate(1, 11, 0)) {
			t.Fatalf("at %s the key set ends at %s", now, set)
		}
	}
}

func TestWithdrawnKeyIsNotBelievedFromTheCutoffOn(t *testing.T) {
	w := newKeyFixture(t)
	kid := w.m.Active(start)
	old, err := w.sign(start)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := w.sign(start.Add(2 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	now := start.Add(3 * time.Hour)
	m, err := signing.Withdraw(w.m, kid, start.Add(time.Hour), w.sealing, now)
	w.must(m, err)
	if _, err := w.verifier(now).Revocations(stolen, now.Unix()); err == nil {
		t.Error("what the thief signed is believed")
	}
	_ = old // how older documents fare is the verifier's to say
	compact, err := w.sign(now)
	if err != nil {
		t.Fatal(err)
	}
	w.accepted(compact, now)
	if w.m.Active(now) == kid {
		t.Error("the withdrawn key signs")
	}
	for _, bad := range []struct {
		kid    string
		cutoff time.Time
		code   licensing.Code
	}{{kid, now, licensing.Conflict}, {"nobody", now, licensing.NotFound}, {w.m.Active(now), now.Add(time.Hour), licensing.Invalid}, {w.root(), now, licensing.Invalid}} {
		if _, err := signing.Withdraw(w.m, bad.kid, bad.cutoff, w.sealing, now); licensing.CodeOf(err) != bad.code {
			t.Errorf("withdrawing %s: %v, want %s", bad.kid, err, bad.code)
		}
	}
}

func (w *keyFixture) root() string {
	for _, k := range w.m.Keys {
		if k.Use == licensing.RootKey {
			return k.ID
		}
	}
	return ""
}

func TestWithdrawingTheLogKeyReplacesIt(t *testing.T) {
	w := newKeyFixture(t)
	was, _, err := w.ring.LogKey(env)
	if err != nil {
		t.Fatal(err)
	}
	m, err := signing.Withdraw(w.m, license.Thumbprint(was), start, w.sealing, start.Add(time.Hour))
	w.must(m, err)
	is, _, err := w.ring.LogKey(env)
	if err != nil || is.Equal(was) {
		t.Fatalf("the log key stays: %v", err)
	}
}

func TestRootOfAnotherEnvironmentIsRefused(t *testing.T) {
	w, other := newKeyFixture(t), newKeyFixture(t)
	other.m.Issuer = "urn:copyhold:other"
	root, _, err := signing.ExportRoot(other.m, other.sealing, start)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []signing.Secret{root, signing.NewSecret("{}"), signing.NewSecret("nothing")} {
		if _, err := signing.ImportRoot(w.m, text, w.sealing); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("imported: %v", err)
		}
	}
	other.m.Issuer = issuer
	root, _, err = signing.ExportRoot(other.m, other.sealing, start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signing.ImportRoot(w.m, root, w.sealing); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("a foreign root was imported: %v", err)
	}
}

func TestExchangedSealedKeysAreNotLoaded(t *testing.T) {
	w := newKeyFixture(t)
	keys := append([]licensing.SigningKey(nil), w.m.Keys...)
	keys[2].Sealed, keys[3].Sealed = keys[3].Sealed, keys[2].Sealed
	m := w.m
	m.Keys = keys
	if err := w.ring.Load(m); err == nil {
		t.Fatal("loaded")
	}
	stranger, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := signing.NewRing(stranger).Load(w.m); err == nil {
		t.Fatal("opened with another sealing key")
	}
}

func TestJWKSHoldsTheKeysOfDocumentsOnly(t *testing.T) {
	w := newKeyFixture(t)
	m, err := signing.Withdraw(w.m, w.m.Active(start), start, w.sealing, start)
	w.must(m, err)
	set := w.ring.JWKS(env)
	if len(set) != 12 {
		t.Errorf("%d keys, want the 12 that may sign", len(set))
	}
	for _, k := range set {
		if _, err := k.Public(); err != nil || k.Withdrawn != 0 {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

func TestFeatureKeyReachesTheDevice(t *testing.T) {
	w := newKeyFixture(t)
	k, err := signing.NewFeatureKey(env, "lathe", "export", w.sealing)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := license.SealFeature(k.Public, "lathe", "export", []byte("shader"))
	if err != nil {
		t.Fatal(err)
	}
	device, private, err := license.GenerateX25519()
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := w.ring.WrapFeatureKey(k, "lic_1", device)
	if err != nil {
		t.Fatal(err)
	}
	l := license.License{Keys: map[string]string{"export": wrapped}, Binding: &license.Binding{Device: license.DeviceThumbprint(device)}}
	l.Issuer, l.Subject = issuer, "lic_1"
	key, err := l.FeatureKey("export", private)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := license.OpenFeature(key, "lathe", "export", sealed)
	if err != nil || string(plain) != "shader" {
		t.Fatalf("%q, %v", plain, err)
	}
	for _, bad := range [][]byte{nil, make([]byte, 31), make([]byte, 32)} {
		if _, err := w.ring.WrapFeatureKey(k, "lic_1", bad); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("wrapped for a key of %d bytes: %v", len(bad), err)
		}
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	w := newKeyFixture(t)
	root, _, err := signing.ExportRoot(w.m, w.sealing, start)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "root", root, "key", w.sealing)
	encoded, err := json.Marshal(map[string]any{"root": root, "key": w.sealing, "ring": w.m})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %x %q %d", root, root, root, root, root, root, root) +
		fmt.Sprintf("%v %+v %#v %s %x %v", w.sealing, w.sealing, w.sealing, w.sealing, w.sealing, struct{ K *signing.SealingKey }{w.sealing})
	for _, secret := range []string{"AGE-SECRET-KEY", `"d"`, w.m.Keys[0].Sealed, fmt.Sprintf("%x", root.Reveal()[:20])} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in what was printed", secret)
		}
	}
}

func TestSealingKeyComesFromValueOrFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sealing.key")
	if _, err := (signing.SealingSource{File: file}).Load(false); err == nil {
		t.Fatal("made without being told to")
	}
	made, err := signing.SealingSource{File: file}.Load(true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := signing.SealingSource{File: file}.Load(true)
	if err != nil || again.Text().Reveal() != made.Text().Reveal() {
		t.Fatalf("another key the second time: %v", err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	other, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	got, err := signing.SealingSource{Value: other.Text(), File: file}.Load(false)
	if err != nil || got.Text().Reveal() != other.Text().Reveal() {
		t.Errorf("not the value: %v", err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o666} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := (signing.SealingSource{File: file}).Load(false); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// The text of a sealing key is read as the same key however editors, shells and secret stores
// pass it on. Other text is refused and not repeated.
func TestASealingKeyIsReadHoweverItsFileIsPassedOn(t *testing.T) {
	made, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	text := made.Text().Reveal()
	comment, key, _ := strings.Cut(strings.TrimSpace(text), "\n")
	for name, passed := range map[string]string{
		"as written": text, "without its last line break": strings.TrimSpace(text), "the key alone": key, "indented": "  " + comment + "\n  " + key,
		"from Windows": "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"), "from age-keygen": "# created: 2026-11-30T09:00:00Z\n" + text,
		"on one line": strings.ReplaceAll(text, "\n", " "),
	} {
		got, err := signing.ParseSealingKey(signing.NewSecret(passed))
		if err != nil || got.Text().Reveal() != text {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", " \n", "AGE-SECRET-KEY-1NOPE", "# only a comment\n", comment, "# " + key, strings.ToLower(comment) + " NOPE"} {
		if _, err := signing.ParseSealingKey(signing.NewSecret(text)); err == nil || strings.Contains(err.Error(), "NOPE") || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	sealing, err := signing.NewSealingKey()
	if err != nil {
		b.Fatal(err)
	}
	m, err := signing.Create(env, issuer, 1, sealing, start)
	if err != nil {
		b.Fatal(err)
	}
	r := signing.NewRing(sealing)
	if err := r.Load(m); err != nil {
		b.Fatal(err)
	}
	now := start.Unix()
	l := license.Lease{
		Claims: license.Claims{Issuer: issuer, Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: now, NotBefore: now, Expires: now + 3600,
			ID: "x", Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: 1}},
		Dates: license.Dates{Refresh: [2]int64{now + 60, now + 90}, Stale: now + 100, Due: now + 200, Degraded: now + 7200},
		Lease: "lse_1", Pool: "seats", Units: 1, Holder: "host",
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Sign(env, license.TypeLease, l, start); err != nil {
			b.Fatal(err)
		}
	}
}
