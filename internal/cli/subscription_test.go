package cli

import (
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// shortTerm is a subscription whose term ends soon.
const shortTerm = `
product: lathe
plan: subscription
term: {length: 1y, grace: 4s}
features: {export: true, max_layers: 50}
fallback: {export: false, max_layers: 5}
documents: {life: 7d, refresh: 1d, stale: 2d, grace: 14d, fallback: 6s}
`

// TestASubscriptionRunsOutGracefully checks that after the end of the term, every feature works
// during the plan's renewal grace, and then the fallback applies. An unpaid license is not
// renewed, and a renewal reaches the connected program.
func TestASubscriptionRunsOutGracefully(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.apply(t, shortTerm, "new")
	ends := time.Now().Add(15 * time.Second).Truncate(time.Second)
	issued := s.issue(t, v1.IssueRequest{Plan: "subscription", End: ends, Payment: licensing.Unpaid})
	changes := make(chan copyhold.Change, 100)
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{"http://" + s.address}, Key: issued.Key.Text, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(),
		OnChange: func(ch copyhold.Change) { changes <- ch },
	})
	must(t, err)
	defer c.Close()
	layers := map[license.State]int64{license.StateValid: 50, license.StateGrace: 50, license.StateDegraded: 5, license.StateDenied: 0}
	graceEnds := ends.Add(4 * time.Second)
	dates := map[license.State]time.Time{license.StateGrace: ends, license.StateDegraded: graceEnds, license.StateDenied: ends.Add(10 * time.Second)}
	descend(t, c, changes, func(ch copyhold.Change) {
		if early := time.Until(dates[ch.To.State]); ch.Cause != license.CauseTerm || early > 0 {
			t.Errorf("%s because of %s, %v before its date", ch.To.State, ch.Cause, early)
		}
		if before, got, after := c.State(), c.Feature("max_layers").Int(), c.State(); before == after && got != layers[after] {
			t.Errorf("%s: %d layers", after, got)
		}
		asked := time.Now()
		said := bareHTTP{"http://" + s.address, issued.Key.Text}.feature(t, "export")
		if allowed := said.Outcome == license.Allowed; allowed && !asked.Before(graceEnds) || !allowed && time.Now().Before(graceEnds) {
			t.Errorf("%s: the server says %+v", ch.To.State, said)
		}
	})
	if _, err := s.RenewLicense(t.Context(), s.owner, issued.License.ID, v1.RenewRequest{After: ends}); licensing.CodeOf(err) != licensing.Conflict {
		t.Errorf("renewing an unpaid license: %v", err)
	}
	_, err = s.RenewLicense(t.Context(), s.owner, issued.License.ID, v1.RenewRequest{After: ends, Paid: true})
	must(t, err)
	until(t, changes, license.StateValid)
	if !c.Enabled("export") {
		t.Errorf("renewed:\n%s", c.Why())
	}
}
