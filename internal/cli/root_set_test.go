package cli

import (
	"encoding/json"
	"net/http"
	"testing"

	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/signing"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// ceremony replaces every root of the shop and returns the new ones.
func (s *shop) ceremony(t *testing.T, old signing.Secret) signing.Secret {
	t.Helper()
	c, err := s.ProposeRootSet(t.Context(), s.owner, signing.RootChoice{})
	must(t, err)
	c, fresh, err := c.MakeRoots(0)
	must(t, err)
	for _, text := range []signing.Secret{old, fresh} {
		c, _, err = c.Sign(text)
		must(t, err)
	}
	_, err = s.InstallRootSet(t.Context(), s.owner, c.RootSet, c.KeySet)
	must(t, err)
	return fresh
}

// retire makes the keys that a program knows stop signing.
func (s *shop) retire(t *testing.T) {
	t.Helper()
	keys, err := s.SigningKeys(t.Context(), s.owner)
	must(t, err)
	prepared := 0
	for _, k := range keys {
		if k.Use == "document" && (k.State == "signs" || k.State == "prepared") {
			prepared++
		}
	}
	for range prepared - 1 {
		_, err := s.RotateSigningKey(t.Context(), s.owner)
		must(t, err)
	}
}

// After two ceremonies, every root is different. A program that trusts the first root set follows
// one set at a time and remembers the last. A new program trusts only the last set.
func TestSDKFollowsNewRootSets(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	old, err := s.ExportRoot(t.Context(), s.owner)
	must(t, err)
	before, err := s.ExportLicense(t.Context(), s.owner, s.license, request.Holder{})
	must(t, err)
	cache := t.TempDir()
	program := func() *copyhold.Client { return s.program(t, copyhold.Options{CacheDir: cache}, nil) }
	must(t, program().Close())
	fresh := s.ceremony(t, old)
	must(t, program().Close())
	s.ceremony(t, fresh)
	s.retire(t)

	c := program()
	if c.State() != license.StateValid {
		t.Fatalf("the program does not follow to root set 3:\n%s", c.Why())
	}
	must(t, c.Close())
	s.down()
	c = program()
	if c.State() != license.StateValid {
		t.Errorf("the program does not remember root set 3:\n%s", c.Why())
	}
	must(t, c.Close())
	s.up()

	trusts := func(what string) *copyhold.Client {
		c := s.program(t, copyhold.Options{}, nil)
		if c.State() != license.StateValid {
			t.Errorf("%s:\n%s", what, c.Why())
		}
		return c
	}
	trusts("root set 1 without a cache") // a chain of two at once
	s.root, err = json.Marshal(s.RootSet("production"))
	must(t, err)
	trusts("root set 3")

	// A file exported since then contains the sets in between. A file from before is worthless to a
	// program that trusts the last set.
	after, err := s.ExportLicense(t.Context(), s.owner, s.license, request.Holder{})
	must(t, err)
	first, err := license.NewAuditor(before.RootSet)
	must(t, err)
	v, err := first.WithBundle(after, first.RootSet().IssuedAt)
	must(t, err)
	if v.RootSet().Number != 3 {
		t.Errorf("the file leads to root set %d", v.RootSet().Number)
	}
	if _, err := v.License(after.Doc, v.KeySet().IssuedAt); err != nil {
		t.Error(err)
	}
	if back, err := v.WithBundle(before, v.KeySet().IssuedAt); err != nil || back != v {
		t.Errorf("an old file moves the sets back: %v", err)
	}
}

// A program does not accept a root set that its own root set did not sign.
func TestSDKRefusesARootSetOfOneSide(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	old, err := s.ExportRoot(t.Context(), s.owner)
	must(t, err)
	c, err := s.ProposeRootSet(t.Context(), s.owner, signing.RootChoice{})
	must(t, err)
	c, fresh, err := c.MakeRoots(0)
	must(t, err)
	for name, by := range map[string]signing.Secret{"old": old, "new": fresh} {
		half, _, err := c.Sign(by)
		must(t, err)
		sets := map[string]any{"rootset": half.RootSet}
		keys, _, err := c.Sign(fresh)
		must(t, err)
		honest := s.handler
		lies := http.NewServeMux()
		lies.Handle("/", honest)
		lies.HandleFunc("GET /v1/keyset", func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"keyset": keys.KeySet})
		})
		lies.HandleFunc("GET /v1/rootset", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(sets) })
		s.down()
		s.handler = lies
		s.up()
		client := s.program(t, copyhold.Options{}, nil)
		if client.State() == license.StateValid {
			t.Errorf("signed only by the %s, but trusted:\n%s", name, client.Why())
		}
		s.handler = honest
	}
}
