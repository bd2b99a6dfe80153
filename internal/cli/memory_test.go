package cli

import (
	"math"
	"runtime/debug"
	"testing"

	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/config"
)

// The memory limit comes from GOMEMLIMIT, else from the settings, else from the container or machine.
func TestMemoryIsLimitedBySettingsOrTheMachine(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	limit := func(settings config.Memory, environment ...string) int64 {
		debug.SetMemoryLimit(math.MaxInt64)
		c := &cli{program: Program{Environ: environment}}
		c.boundMemory(settings)
		return debug.SetMemoryLimit(-1)
	}
	if got := limit(config.Memory{Limit: 300}); got != 300<<20 {
		t.Errorf("limit_mib 300: a limit of %d bytes", got)
	}
	if got := limit(config.Memory{Limit: 300}, "GOMEMLIMIT=1GiB"); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT is set: replaced by %d", got)
	}
	if got := limit(config.Memory{}); got < 64<<20 || got > 1<<50 {
		t.Errorf("no setting: a limit of %d bytes", got)
	}
}

// The default that the settings document is that of a server without settings.
func TestDefaultCacheIsTheDocumentedOne(t *testing.T) {
	loaded, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if set := cache.Budget(loaded.Memory.Cache) << 20; set != cache.DefaultBudget {
		t.Errorf("the setting's default is %d bytes, not %d", set, cache.DefaultBudget)
	}
}

// A small heap is collected rarely, and a large one does not double beyond the room for garbage
// without need.
func TestGarbageIsBounded(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 10 << 20: 400, 32 << 20: 400, 64 << 20: 200, 128 << 20: 100, 4 << 30: 100, math.MaxUint64: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d live bytes: %d percent, not %d", live, got, want)
		}
	}
}
