package licensing

import (
	"maps"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// Once says who may have a product's trial no more than once; empty is nobody.
type Once string

// Who may have a trial once.
const (
	OnceCustomer Once = "customer"
	OnceMachine  Once = "machine"
)

// HolderMachine is the kind of holder that has components.
const HolderMachine = "machine"

// TrialRemembered is how long the trial of a customer is known after the customer was deleted.
const TrialRemembered = 400 * 24 * time.Hour

// TrialPool returns the pool by which the machines that have the trial of t once are
// recognized: the first by name. False where machines are not limited.
func (t Terms) TrialPool() (Pool, bool) {
	for _, name := range slices.Sorted(maps.Keys(t.Pools)) {
		if p := t.Pools[name]; t.OncePerMachine(p) {
			return p, true
		}
	}
	return Pool{}, false
}

// OncePerMachine reports whether a machine that holds of p has the trial of t once.
func (t Terms) OncePerMachine(p Pool) bool {
	return t.Rule.Once == OnceMachine && p.Holder == HolderMachine && p.Endless() && p.Match.Need > 0
}

// TrialUsed is the decision for a machine that had the trial by another license, which is not
// named: it may be another customer's.
func (t Terms) TrialUsed() license.Decision {
	return deny(license.CodeTrialUsed, "term.once", "this machine had the trial of %s before, by another license", t.Product)
}

// SecondTrial refuses a trial to a customer who had one; by is empty where the customer
// was deleted since.
func (t Terms) SecondTrial(by LicenseID) error {
	if by == "" {
		return Errorf(Conflict, "a customer with this address or reference had the trial of %s and was deleted: it is given once, and remembered for %d days", t.Product, TrialRemembered/(24*time.Hour)).At("customer")
	}
	return Errorf(Conflict, "customer %s had the trial of %s by license %s: it is given once; extend that license, or issue another plan", t.Customer, t.Product, by).At("customer")
}
