package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// sealedPlans are a plan with the feature, one without it, and one whose documents will end soon.
const sealedPlans = `
product: lathe
plan: studio
term: {length: 1y}
features: {export: true, view: true}
fallback: {view: true}
documents: {refresh: 1d, stale: 2d, life: 7d, grace: 14d, fallback: 30d}
---
product: lathe
plan: basic
term: {length: 1y}
features: {view: true}
documents: {refresh: 1d, stale: 2d, life: 7d, grace: 14d, fallback: 30d}
---
product: lathe
plan: brief
term: {length: 1y}
features: {export: true, view: true}
fallback: {view: true}
documents: {refresh: 1d, stale: 2d, life: 7d, grace: 14d, fallback: 30d}
`

// soonDegraded replaces the last of them after its program has opened the sealed data.
const soonDegraded = `
product: lathe
plan: brief
term: {length: 1y}
features: {export: true, view: true}
fallback: {view: true}
documents: {refresh: 1s, stale: 2s, life: 3s, grace: 2s, fallback: 1h}
`

// A sealer is a vendor who seals data with the command line, and whose programs open it.
type sealer struct {
	*shop
	sealed []byte
}

// TestSealedDataOpensWhereTheFeatureIsGranted seals data on a build machine and opens it in a
// program whose license was signed by a real server.
func TestSealedDataOpensWhereTheFeatureIsGranted(t *testing.T) {
	t.Parallel()
	s := sealer{shop: newShop(t)}
	s.apply(t, sealedPlans, "all")
	s.seal(t, "weights")
	t.Run("with the feature, offline too", s.opensOffline)
	t.Run("after a copied cache", s.copiedCache)
	t.Run("without the feature", func(t *testing.T) {
		c := s.of(t, "basic", nil)
		if _, err := c.Unseal("export", s.sealed); !errors.Is(err, copyhold.ErrDenied) || !c.Enabled("view") {
			t.Errorf("%v\n%s", err, c.Why())
		}
	})
	t.Run("a program that does not ask for keys", func(t *testing.T) {
		c := s.program(t, copyhold.Options{}, nil)
		if _, err := c.Unseal("export", s.sealed); err == nil || !c.Enabled("export") {
			t.Errorf("%v\n%s", err, c.Why())
		}
	})
	t.Run("for another feature", func(t *testing.T) {
		_, err := s.FeatureKey(t.Context(), s.owner, "lathe", "view")
		must(t, err)
		if _, err := s.of(t, "studio", nil).Unseal("view", s.sealed); err == nil {
			t.Error("data sealed to one feature opens with another")
		}
	})
	t.Run("degraded", s.degraded) // stops the server: the last
}

// seal seals data on a machine that has no token, but has the feature's public key in a file.
func (s *sealer) seal(t *testing.T, data string) {
	t.Helper()
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	must(t, os.WriteFile(at("plain"), []byte(data), 0o600))
	s.vendor(t, "COPYHOLD_TOKEN="+s.token, "product", "feature-key", "lathe", "export", "--to", at("export.pub"))
	s.vendor(t, "", "product", "seal", "lathe", "export", at("plain"), "--key", at("export.pub"), "--to", at("sealed"))
	s.vendor(t, "COPYHOLD_TOKEN="+s.token, "product", "seal", "lathe", "export", at("plain"), "--to", at("again"))
	var err error
	s.sealed, err = os.ReadFile(at("sealed"))
	must(t, err)
	again, err := os.ReadFile(at("again"))
	must(t, err)
	if bytes.Equal(s.sealed, again) || bytes.Contains(s.sealed, []byte(data)) {
		t.Errorf("sealing twice gave the same result, or failed: %q", s.sealed)
	}
}

func (s *sealer) vendor(t *testing.T, variable string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	status := Main(Program{
		Args: append([]string{"copyhold"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		Environ: []string{"COPYHOLD_URL=http://" + s.address, "COPYHOLD_ENVIRONMENT=production", variable},
	})
	if status != 0 {
		t.Fatalf("copyhold %s: exit status %d: %s", strings.Join(args, " "), status, &out)
	}
}

// of starts a program with a new license of a plan, to open sealed data.
func (s *sealer) of(t *testing.T, plan string, changes chan copyhold.Change) *copyhold.Client {
	t.Helper()
	issued := s.issue(t, v1.IssueRequest{Plan: licensing.PlanName(plan)})
	o := copyhold.Options{
		Endpoints: []string{"http://" + s.address}, Key: issued.Key.Text, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(), Sealed: true,
	}
	if changes != nil {
		o.OnChange = func(c copyhold.Change) { changes <- c }
	}
	c, err := copyhold.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *sealer) opens(t *testing.T, c *copyhold.Client) {
	t.Helper()
	if got, err := c.Unseal("export", s.sealed); err != nil || string(got) != "weights" {
		t.Errorf("%q, %v\n%s", got, err, c.Why())
	}
}

// offline starts a program that cannot reach a server.
func (s *sealer) offline(t *testing.T, cache string) *copyhold.Client {
	t.Helper()
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{"http://127.0.0.1:1"}, Key: s.key, Product: "lathe", RootSet: s.root, CacheDir: cache, Sealed: true, Wait: -1,
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *sealer) opensOffline(t *testing.T) {
	cache := t.TempDir()
	c := s.program(t, copyhold.Options{Sealed: true, CacheDir: cache}, nil)
	s.opens(t, c)
	must(t, c.Close())
	s.opens(t, s.offline(t, cache))
}

// copiedCache simulates another device, which has the document but not the device's key.
func (s *sealer) copiedCache(t *testing.T) {
	cache, copied := t.TempDir(), t.TempDir()
	c := s.program(t, copyhold.Options{Sealed: true, CacheDir: cache}, nil)
	s.opens(t, c)
	must(t, c.Close())
	must(t, filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		inside, _ := filepath.Rel(cache, path)
		if err != nil || d.IsDir() || inside == "device.key" {
			return err
		}
		text, err := os.ReadFile(path)
		must(t, err)
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(copied, inside)), 0o700))
		return os.WriteFile(filepath.Join(copied, inside), text, 0o600)
	}))
	thief := s.offline(t, copied)
	if thief.License() == nil {
		t.Fatalf("the copied cache contains no license:\n%s", thief.Why())
	}
	if got, err := thief.Unseal("export", s.sealed); err == nil {
		t.Errorf("another device opened %q", got)
	}
}

// degraded tests a program that has not reached a server for too long: the fallback grants
// another feature, but not this one.
func (s *sealer) degraded(t *testing.T) {
	changes := make(chan copyhold.Change, 100)
	c := s.of(t, "brief", changes)
	s.opens(t, c)
	s.apply(t, soonDegraded, "all")
	eventually(t, patience, func() bool { doc := c.License(); return doc.Expires-doc.IssuedAt < 60 })
	s.down()
	until(t, changes, license.StateDegraded)
	if _, err := c.Unseal("export", s.sealed); !errors.Is(err, copyhold.ErrDenied) || !c.Enabled("view") {
		t.Errorf("%v\n%s", err, c.Why())
	}
}
