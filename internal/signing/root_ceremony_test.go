package signing_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/sdk/license"
)

// propose starts a ceremony and stores the server's part of it.
func (w *keyFixture) propose(want signing.RootChoice, now time.Time) signing.RootCeremony {
	w.t.Helper()
	m, c, err := signing.Propose(w.m, want, w.sealing, now)
	w.must(m, err)
	return w.carried(c)
}

// carried returns the ceremony as it is read back from its file.
func (w *keyFixture) carried(c signing.RootCeremony) signing.RootCeremony {
	w.t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err = signing.ReadRootCeremony(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *keyFixture) roots() (present []string) {
	for _, k := range w.m.Keys {
		if k.Use == licensing.RootKey && k.RetiredAt.IsZero() {
			present = append(present, k.ID)
		}
	}
	return present
}

func (w *keyFixture) sign1(c signing.RootCeremony, text signing.Secret) signing.RootCeremony {
	w.t.Helper()
	c, _, err := c.Sign(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.carried(c)
}

func (w *keyFixture) make(c signing.RootCeremony, count int) (signing.RootCeremony, signing.Secret) {
	w.t.Helper()
	c, text, err := c.MakeRoots(count)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.carried(c), text
}

func TestANewRootSetReplacesALostRoot(t *testing.T) {
	w := newKeyFixture(t)
	old := w.exportAndRemove()
	pinned := w.verifier(start)
	before, err := w.sign(start)
	if err != nil {
		t.Fatal(err)
	}
	kept, now := w.roots()[1], start.Add(30*24*time.Hour)
	c := w.propose(signing.RootChoice{Keep: []string{kept}}, now)
	if len(w.m.Proposed) != 8 {
		t.Errorf("%d keys are proposed, want two years of them", len(w.m.Proposed))
	}
	if _, _, err := c.Sign(old); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("signed while a root is missing: %v", err)
	}
	c, fresh := w.make(c, 0)
	if _, _, err := c.MakeRoots(0); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("made one too many: %v", err)
	}
	stranger := newKeyFixture(t)
	if _, _, err := c.Sign(stranger.exportAndRemove()); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("a stranger's root signed: %v", err)
	}
	c = w.sign1(c, old)
	c = w.sign1(c, old) // twice is once
	c = w.sign1(c, fresh)
	if p, err := c.Progress(); err != nil || !p.Complete() || len(c.RootSet) != 3 || len(c.KeySet) != 2 {
		t.Fatalf("%+v, %d and %d signatures, %v", p, len(c.RootSet), len(c.KeySet), err)
	}
	gone := w.roots()[0]
	m, err := signing.InstallRootSet(w.m, c.RootSet, c.KeySet, now)
	w.must(m, err)
	if got := w.roots(); len(got) != 2 || !slices.Contains(got, kept) || slices.Contains(got, gone) {
		t.Errorf("roots %v, kept %s", got, kept)
	}
	if set := w.ring.RootSetNumbered(env, 1); len(set) != 1 || w.ring.RootSetNumbered(env, 3) != nil || w.ring.RootSetNumbered(env, 0) != nil {
		t.Error("the sets are not there by their numbers")
	}

	// A program that trusts the set before follows; it believes the key set only then.
	if _, err := pinned.WithKeySet(w.ring.KeySet(env), now.Unix()); !errors.Is(err, license.ErrThreshold) {
		t.Errorf("a key set of the next root set is believed: %v", err)
	}
	v, err := pinned.WithRootSet(w.ring.RootSetNumbered(env, 2), now.Unix())
	if err != nil {
		t.Fatal(err)
	}
	if v, err = v.WithKeySet(w.ring.KeySet(env), now.Unix()); err != nil {
		t.Fatal(err)
	}
	compact, err := w.sign(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []string{before, compact} {
		if _, err := v.Revocations(doc, start.Unix()); err != nil {
			t.Error(err)
		}
	}
	if _, err := signing.InstallRootSet(w.m, c.RootSet, c.KeySet, now); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("installed twice: %v", err)
	}
	w.goneSignsNothing(old, gone, kept, now)
}

// goneSignsNothing checks that a root of the previous set can no longer sign.
func (w *keyFixture) goneSignsNothing(old signing.Secret, gone, kept string, now time.Time) {
	w.t.Helper()
	m, err := signing.ImportRoot(w.m, old, w.sealing)
	w.must(m, err)
	for _, k := range w.m.Keys {
		if k.ID == gone && k.Present() || k.ID == kept && !k.Present() {
			w.t.Errorf("root %s: here %v", k.ID, k.Present())
		}
	}
	m, err = signing.Withdraw(w.m, w.m.Active(now), now, w.sealing, now)
	w.must(m, err)
	v, err := license.NewAuditor(w.ring.RootSet(env))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := v.WithKeySet(w.ring.KeySet(env), now.Unix()); err != nil {
		w.t.Errorf("the kept root signs no key set: %v", err)
	}
	c := w.propose(signing.RootChoice{Roots: 1, Keep: w.roots()}, now)
	c, fresh := w.make(c, 0)
	c = w.sign1(c, fresh)
	if _, err := signing.InstallRootSet(w.m, c.RootSet, c.KeySet, now); licensing.CodeOf(err) != licensing.Invalid {
		w.t.Errorf("installed with the new root alone: %v", err)
	}
	if _, _, err := c.Sign(only(w.t, old, gone)); licensing.CodeOf(err) != licensing.Invalid {
		w.t.Errorf("a root that is gone signs: %v", err)
	}
}

// only removes all roots but one from a file of private parts.
func only(t *testing.T, text signing.Secret, kid string) signing.Secret {
	t.Helper()
	var file map[string]any
	if err := json.Unmarshal([]byte(text.Reveal()), &file); err != nil {
		t.Fatal(err)
	}
	for _, k := range file["keys"].([]any) {
		if k.(map[string]any)["kid"] == kid {
			file["keys"] = []any{k}
		}
	}
	one, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return signing.NewSecret(string(one))
}

func TestThresholdsOfBothSetsAreNeeded(t *testing.T) {
	w := newKeyFixture(t)
	old := w.exportAndRemove()
	c := w.propose(signing.RootChoice{Roots: 3, Threshold: 2}, start)
	c, ann := w.make(c, 1)
	c, bob := w.make(c, 1)
	c, cy := w.make(c, 0)
	refused := func(what string, c signing.RootCeremony) {
		t.Helper()
		if _, err := signing.InstallRootSet(w.m, c.RootSet, c.KeySet, start); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("nobody signed", c)
	refused("the old alone", w.sign1(c, old))
	refused("the new alone", w.sign1(w.sign1(c, ann), bob))
	refused("one of two new", w.sign1(w.sign1(c, old), ann))
	c = w.sign1(w.sign1(w.sign1(c, cy), old), ann)
	mixed := c
	mixed.KeySet = c.KeySet[:1]
	refused("a key set of one signature", mixed)
	m, err := signing.InstallRootSet(w.m, c.RootSet, c.KeySet, start)
	w.must(m, err)

	// With two of three, one root on the server signs nothing.
	now := start.Add(time.Hour)
	m, err = signing.ImportRoot(w.m, bob, w.sealing)
	w.must(m, err)
	if _, err := signing.Withdraw(w.m, w.m.Active(now), now, w.sealing, now); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("one root of two signed a key set: %v", err)
	}
	m, err = signing.ImportRoot(w.m, cy, w.sealing)
	w.must(m, err)
	m, err = signing.Withdraw(w.m, w.m.Active(now), now, w.sealing, now)
	w.must(m, err)
	compact, err := w.sign(now)
	if err != nil {
		t.Fatal(err)
	}
	w.accepted(compact, now)
}

func TestACeremonyIsInstalledAsItBeganOrNotAtAll(t *testing.T) {
	w := newKeyFixture(t)
	old, _, err := signing.ExportRoot(w.m, w.sealing, start)
	if err != nil {
		t.Fatal(err)
	}
	first := w.propose(signing.RootChoice{}, start)
	first, fresh := w.make(first, 0)
	first = w.sign1(w.sign1(first, old), fresh)
	for _, bad := range []signing.RootChoice{{Keep: []string{"nobody"}}, {Keep: []string{w.root(), w.root()}}, {Roots: 1, Threshold: 2}, {Roots: 17}, {Roots: -1}} {
		if _, _, err := signing.Propose(w.m, bad, w.sealing, start); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	proposed := w.m
	second := w.propose(signing.RootChoice{}, start)
	if _, err := signing.InstallRootSet(w.m, first.RootSet, first.KeySet, start); licensing.CodeOf(err) == "" || err == nil {
		t.Error("the ceremony that another replaced is installed")
	}
	_ = second
	w.m = proposed
	m, err := signing.Withdraw(w.m, w.m.Active(start), start, w.sealing, start)
	w.must(m, err)
	if _, err := signing.InstallRootSet(w.m, first.RootSet, first.KeySet, start); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("installed over a later key set, which withdrew a key: %v", err)
	}
	w.m = proposed
	kept := w.m.Proposed
	w.m.Proposed = nil
	if _, err := signing.InstallRootSet(w.m, first.RootSet, first.KeySet, start); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("installed keys that the server did not make: %v", err)
	}
	w.m.Proposed = kept
	m, err = signing.InstallRootSet(w.m, first.RootSet, first.KeySet, start)
	w.must(m, err)
	for _, k := range w.m.Keys {
		if k.Use == licensing.ProposedKey {
			t.Errorf("key %s stays proposed", k.ID)
		}
	}
	for _, text := range []string{"", "{}", `{"copyhold":"root-ceremony"}`} {
		if _, err := signing.ReadRootCeremony([]byte(text)); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("%q is read: %v", text, err)
		}
	}
}
