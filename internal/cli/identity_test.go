package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/seat"
	"copyhold.dev/sdk/copyhold"
)

const ownMachines = `
product: lathe
plan: studio
term: {length: 1y}
pools:
  named:   {holder: machine, capacity: 2, lease: none, full: deny}
  matched: {holder: machine, capacity: 2, lease: none, match: {need: 1, of: 5}, full: deny}
  people:  {holder: user, capacity: 2, lease: none, full: deny}
  line:    {holder: workload, capacity: 2, lease: 2m, full: deny}
documents: {life: 7d, refresh: 1d, stale: 2d, grace: 14d, fallback: 30d}
`

// The command line and a program with the SDK are one holder on one machine: by the identity in
// the cache folder, by the fingerprint, and by the account.
func TestTheCommandLineHoldsAsTheSDKDoes(t *testing.T) {
	for _, name := range []string{"KUBERNETES_SERVICE_HOST", "CI_JOB_ID", "GITHUB_RUN_ID", "BUILDKITE_JOB_ID"} {
		t.Setenv(name, "") // otherwise a pod or job would be the holder, for both
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("LocalAppData", filepath.Join(home, "cache"))
	s := newShop(t)
	s.apply(t, ownMachines, "all")
	cache, err := os.UserCacheDir()
	must(t, err)
	program := s.program(t, copyhold.Options{CacheDir: filepath.Join(cache, "copyhold", "lathe")}, nil)
	key := filepath.Join(t.TempDir(), "license.key")
	must(t, os.WriteFile(key, []byte(s.key), 0o600))
	shell := commandLine{"http://" + s.address, key}
	acquire := func(pool string) string {
		t.Helper()
		status, got := shell.run(t, "lease", "acquire", "--pool", pool)
		if status != 0 {
			t.Fatalf("%s: exit status %d: %s", pool, status, got)
		}
		return readHeld(t, got).id
	}
	for _, pool := range []string{"named", "matched", "people"} {
		held := s.acquire(t, program, pool, copyhold.AcquireOptions{})
		if got := acquire(pool); got != held.ID() {
			t.Errorf("%s: the SDK holds %s, the command line %s", pool, held.ID(), got)
		}
	}
	leases, err := s.Leases(t.Context(), s.owner, authority.LeaseFilter{Pool: "named"}, request.PageOf{})
	if must(t, err); len(leases.Items) != 1 || leases.Items[0].Holder.Name != seat.HostName() {
		t.Errorf("people do not recognize the machine in a list: %+v", leases.Items)
	}
	t.Setenv("XDG_CACHE_HOME", "relative") // refused: there is no permanent folder
	t.Setenv("LocalAppData", "")
	t.Setenv("HOME", "")
	acquire("line") // holds nobody's machine
	if status, _, errs := shell.try("lease", "acquire", "--pool", "named"); status != exitFailed || !bytes.Contains(errs, []byte("--holder")) {
		t.Errorf("a machine without an identity: exit status %d: %s", status, errs)
	}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("LocalAppData", filepath.Join(home, "cache"))
	t.Setenv("HOME", home)
	first := acquire("matched")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "another"))
	t.Setenv("LocalAppData", filepath.Join(home, "another"))
	t.Setenv("HOME", filepath.Join(home, "another"))
	if got := acquire("matched"); got != first {
		t.Errorf("without its cache folder, the machine has another identity: %s, not %s", got, first)
	}
}
