package licensing

import (
	"maps"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// Once is what can have a product's trial only once. Empty means no limit.
type Once string

// The values of Once.
const (
	OnceCustomer Once = "customer"
	OnceMachine  Once = "machine"
)

// HolderMachine is the kind of holder that has components.
const HolderMachine = "machine"

// TrialRemembered is how long a customer's trial is remembered after the customer was deleted.
const TrialRemembered = 400 * 24 * time.Hour

// TrialPool returns the pool whose machines are recognized to limit the trial of t: the
// first by name. It returns false if the trial is not limited to one for each machine.
func (t Terms) TrialPool() (Pool, bool) {
	for _, name := range slices.Sorted(maps.Keys(t.Pools)) {
		if p := t.Pools[name]; t.OncePerMachine(p) {
			return p, true
		}
	}
	return Pool{}, false
}

// OncePerMachine reports whether a machine that holds units of p can have the trial of t only once.
func (t Terms) OncePerMachine(p Pool) bool {
	return t.Rule.Once == OnceMachine && p.Holder == HolderMachine && p.Endless() && p.Match.Need > 0
}

// TrialUsed returns the decision for a machine that had the trial from another license. It
// does not name that license, because it may belong to another customer.
func (t Terms) TrialUsed() license.Decision {
	return deny(license.CodeTrialUsed, "term.once", "this machine already had the trial of %s from another license", t.Product)
}

// SecondTrial refuses a trial to a customer who already had one. By is empty if that
// customer was deleted.
func (t Terms) SecondTrial(by LicenseID) error {
	if by == "" {
		return Errorf(Conflict, "a deleted customer with this e-mail address or reference already had the trial of %s; each customer gets it once, which is remembered for %d days", t.Product, TrialRemembered/(24*time.Hour)).At("customer")
	}
	return Errorf(Conflict, "customer %s already had the trial of %s from license %s; each customer gets it once: extend that license, or issue another plan", t.Customer, t.Product, by).At("customer")
}
