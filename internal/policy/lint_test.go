package policy

import (
	"fmt"
	"strings"
	"testing"

	"copyhold.dev/internal/licensing"
)

const plain = "product: a\nplan: b\nterm: {length: 1y}\n"

// many is the text of a number of features, each at least 100 bytes long.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "      feature%d: %s\n", i, strings.Repeat("x", 80))
	}
	return b.String()
}

// codes returns what lint finds in a text that reads without a fault.
func codes(t *testing.T, text string, kind licensing.Kind) []Finding {
	t.Helper()
	sources, findings := Read([]File{{Name: "p.yaml", Text: text}})
	if len(findings) != 0 {
		t.Fatalf("%q does not read: %v", text, findings)
	}
	return Lint(sources, kind)
}

func TestLintNamesWhatAPlanCannotKeep(t *testing.T) {
	for _, c := range []struct {
		code, path string
		severity   Severity
		text       string
	}{
		{"unknown-feature", "fallback.exprot", SevError, plain + "features: {export: true}\nfallback: {exprot: false}\n"},
		{"feature-type", "fallback.export", SevError, plain + "features: {export: true}\nfallback: {export: 5}\n"},
		{"wider-fallback", "fallback.layers", SevWarning, plain + "features: {layers: 5}\nfallback: {layers: 6}\n"},
		{"wider-fallback", "fallback.export", SevWarning, plain + "features: {export: false}\nfallback: {export: true}\n"},
		{"fallback-never", "documents.fallback", SevWarning, plain + "features: {a: 1}\nfallback: {a: 0}\ndocuments: {fallback: 0s}\n"},
		{"unknown-edition", "edition", SevError, plain + "edition: pro\n"},
		{"no-edition", "editions", SevWarning, plain + "editions: {pro: {features: {a: true}}}\n"},
		{"once-machine", "term.once", SevError, "product: a\nplan: b\nterm: {length: 14d, trial: true, once: machine}\npools: {machines: {holder: machine, capacity: 1, lease: none}, seats: {holder: user, capacity: 1, lease: 1m}}\n"},
		{"trial-grace", "documents.grace", SevError, "product: a\nplan: b\nterm: {length: 14d, trial: true}\ndocuments: {grace: 1d}\n"},
		{"trial-grace", "pools.seats.grace", SevError, "product: a\nplan: b\nterm: {length: 14d, trial: true}\npools: {seats: {holder: user, capacity: 1, lease: 1m, grace: 1h}}\n"},
		{"trial-renewal", "term.renewal", SevWarning, "product: a\nplan: b\nterm: {length: 14d, trial: true, renewal: from-now}\n"},
		{"maintenance-term", "term.maintenance", SevWarning, "product: a\nplan: b\nterm: {length: 1y, maintenance: 1y}\n"},
		{"empty-addon", "addons.x", SevWarning, plain + "addons: {x: {}}\n"},
		{"feature-type", "addons.x.features.layers", SevError, plain + "features: {layers: 5}\naddons: {x: {features: {layers: true}}}\n"},
		{"text-conflict", "addons.y.features.theme", SevWarning, plain + "addons: {x: {features: {theme: dark}}, y: {features: {theme: light}}}\n"},
		{"unknown-pool", "addons.x.pools.seats", SevError, plain + "addons: {x: {pools: {seats: +1}}}\n"},
		{"unknown-meter", "addons.x.meters.calls", SevError, plain + "addons: {x: {meters: {calls: +1}}}\n"},
		{"unknown-pool", "addons.x.pools.seats", SevWarning, plain + "---\nproduct: a\naddons: {x: {pools: {seats: +1}}}\n"},
		{"queue-endless", "pools.users.full", SevError, plain + "pools: {users: {holder: user, capacity: 1, lease: none, full: queue}}\n"},
		{"no-fallback", "pools.seats.full", SevError, plain + "pools: {seats: {holder: user, capacity: 1, lease: 1m, full: fallback}}\n"},
		{"no-fallback", "meters.calls.full", SevError, plain + "meters: {calls: {unit: call, quota: 1, per: day, full: fallback}}\n"},
		{"overdraft-endless", "pools.seats.overdraft", SevWarning, plain + "pools: {seats: {holder: user, capacity: 1, lease: 1m, overdraft: {units: 1}}}\n"},
		{"capacity-zero", "pools.seats.capacity", SevWarning, plain + "pools: {seats: {holder: user, capacity: 0, lease: 1m}}\n"},
		{"weak-match", "pools.m.match", SevWarning, plain + "pools: {m: {holder: machine, capacity: 1, lease: none, match: {need: 2, of: 5}}}\n"},
		{"brittle-match", "pools.m.match", SevWarning, plain + "pools: {m: {holder: machine, capacity: 1, lease: none, match: {need: 5, of: 5}}}\n"},
		{"borrow-beyond-term", "pools.seats.borrow", SevWarning, "product: a\nplan: b\nterm: {length: 14d}\npools: {seats: {holder: user, capacity: 1, lease: 1m, borrow: 15d}}\n"},
		{"overage-endless", "meters.calls.overage", SevWarning, plain + "meters: {calls: {unit: call, quota: 1, per: day, overage: allow}}\n"},
		{"overage-never", "meters.calls.hard", SevError, plain + "meters: {calls: {unit: call, quota: 10, per: day, overage: allow, hard: 100%}}\n"},
		{"hard-unreachable", "meters.calls.hard", SevWarning, plain + "meters: {calls: {unit: call, quota: 10, per: day, hard: 150%}}\n"},
		{"quota-unreachable", "meters.calls.hard", SevWarning, plain + "meters: {calls: {unit: call, quota: 10, per: day, hard: 5}}\n"},
		{"revocation-bound", "revocation_bound", SevError, plain + "revocation_bound: 20d\n"},
		{"revocation-bound", "revocation_bound", SevError, plain + "pools: {seats: {holder: user, capacity: 1, lease: 1m, borrow: 60d}}\nrevocation_bound: 30d\n"},
		{"short-documents", "documents.life", SevWarning, plain + "documents: {life: 20s}\n"},
		{"document-size", "features", SevError, plain + "features:\n" + many(600)},
		{"document-size", "editions.large", SevError, plain + "edition: small\neditions:\n  small: {features: {a: 1}}\n  large:\n    features:\n" + many(600)},
		{"document-size", "addons.x", SevError, plain + "features:\n" + many(300) + "addons: {x: {features: {note: " + strings.Repeat("n", 20_000) + "}}}\n"},
		{"long-documents", "documents", SevError, plain + "documents: {fallback: 9000d}\n"},
	} {
		found := false
		for _, f := range codes(t, c.text, licensing.Production) {
			if f.Code == c.code && f.Path == c.path {
				found = f.Severity == c.severity && f.Line > 0 && f.Column > 0 && f.Plan == "b"
			}
		}
		if !found {
			t.Errorf("%s at %s is not a %s in %q: %v", c.code, c.path, c.severity, c.text, codes(t, c.text, licensing.Production))
		}
	}
}

func TestDevelopmentAcceptsSecondsEverywhere(t *testing.T) {
	for kind, want := range map[licensing.Kind]int{licensing.Development: 0, licensing.Production: 1} {
		got := codes(t, plain+"documents: {life: 20s, refresh: 5s, stale: 10s, grace: 15s, fallback: 15s}\n", kind)
		if len(got) != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

func TestErrorsStopAPlanAndWarningsDoNot(t *testing.T) {
	if !HasErrors(codes(t, plain+"edition: pro\n", licensing.Production)) {
		t.Error("an unknown edition does not stop a plan")
	}
	warned := codes(t, plain+"documents: {life: 20s}\n", licensing.Production)
	if len(warned) == 0 || HasErrors(warned) {
		t.Errorf("a warning stops a plan: %v", warned)
	}
	if s := warned[0].String(); !strings.HasPrefix(s, "p.yaml:4:19: warning: documents.life: ") || !strings.HasSuffix(s, "[short-documents]") {
		t.Errorf("a finding is written %q", s)
	}
}
