package cli

import (
	"testing"
	"time"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/licensing"
	copyhold "copyhold.dev/sdk"
	"copyhold.dev/sdk/license"
)

// shortTerm is a subscription whose term's end is near.
const shortTerm = `
product: lathe
plan: subscription
term: {length: 1y, grace: 4s}
features: {export: true, max_layers: 50}
fallback: {export: false, max_layers: 5}
documents: {life: 7d, refresh: 1d, stale: 2d, grace: 14d, fallback: 6s}
`

// TestASubscriptionRunsOutGracefully: the term ends, the renewal grace of the
// plan goes by with every feature, then the fallback; an unpaid license is not
// renewed; a renewal reaches the connected program within ten seconds.
func TestASubscriptionRunsOutGracefully(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.apply(t, shortTerm, "new")
	ends := time.Now().Add(4 * time.Second).Truncate(time.Second)
	issued := s.issue(t, authority.IssueRequest{Plan: "subscription", End: ends, Payment: licensing.Unpaid})
	changes := make(chan copyhold.Change, 100)
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{"http://" + s.address}, Key: issued.Key.Text, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(),
		OnChange: func(ch copyhold.Change) { changes <- ch },
	})
	must(t, err)
	defer c.Close()
	until(t, changes, license.StateValid, 5*time.Second)
	for _, step := range []struct {
		state  license.State
		at     time.Time
		layers int64
	}{
		{license.StateGrace, ends, 50},
		{license.StateDegraded, ends.Add(4 * time.Second), 5},
		{license.StateDenied, ends.Add(10 * time.Second), 0},
	} {
		ch := until(t, changes, step.state, 10*time.Second)
		if ch.Cause != license.CauseTerm {
			t.Errorf("%s because of %s", step.state, ch.Cause)
		}
		if late := time.Since(step.at); late < 0 || late > 3*time.Second {
			t.Errorf("%s came %v after its date", step.state, late)
		}
		if got := c.Feature("max_layers").Int(); got != step.layers || c.Enabled("export") != step.state.Full() {
			t.Errorf("%s: %d layers, export %v", step.state, got, c.Enabled("export"))
		}
		said := bareHTTP{"http://" + s.address, issued.Key.Text}.feature(t, "export")
		if (said.Outcome == license.Allowed) != step.state.Full() {
			t.Errorf("%s: the server says %+v", step.state, said)
		}
	}
	if _, err := s.RenewLicense(t.Context(), s.owner, issued.License.ID, authority.RenewRequest{}); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("renewing what is not paid: %v", err)
	}
	_, err = s.RenewLicense(t.Context(), s.owner, issued.License.ID, authority.RenewRequest{Paid: true})
	must(t, err)
	until(t, changes, license.StateValid, 10*time.Second)
	if !c.Enabled("export") {
		t.Errorf("renewed:\n%s", c.Why())
	}
}
