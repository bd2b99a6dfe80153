package licensing

import (
	"testing"
	"time"
)

func TestWhatContradictsItselfIsRefused(t *testing.T) {
	pool := func(change func(*Pool)) error {
		p := Pool{Holder: "user", Capacity: 5, Lease: 900, Full: FullDeny, Share: ShareNone}
		change(&p)
		return p.Check()
	}
	meter := func(change func(*Meter)) error {
		m := Meter{Unit: "call", Quota: 10, Per: PerDay, Anchor: AnchorCalendar, Zone: "UTC", Full: FullDeny}
		change(&m)
		return m.Check()
	}
	product := func(change func(*Product)) error {
		p := Product{Name: "lathe", Owner: Owner{Team: "t", Pager: "p", Runbook: "https://example.com/runbook"}, Salt: make([]byte, 16)}
		change(&p)
		return p.Check()
	}
	license := func(change func(*License)) error {
		l := License{ID: "lic_1", Customer: "cus_1", Product: "lathe", Plan: "p", Channel: "stable", Status: Active, Payment: Paid}
		change(&l)
		return l.Check()
	}
	for what, err := range map[string]error{
		"a pool": pool(func(*Pool) {}), "a meter": meter(func(*Meter) {}), "a product": product(func(*Product) {}), "a license": license(func(*License) {}),
		"documents": DefaultDocuments().Check(), "a customer": Customer{Name: "A", Email: "a@b"}.Check(), "a grant": Grant{Addon: "a", Quantity: 1}.Check(),
		"an environment": Environment{Name: "production", Kind: Production}.Check(),
	} {
		if err != nil {
			t.Errorf("%s is refused: %v", what, err)
		}
	}
	now := time.Unix(0, 0)
	for what, err := range map[string]error{
		"a pool without a holder":                pool(func(p *Pool) { p.Holder = "" }),
		"a holder that is no name":               pool(func(p *Pool) { p.Holder = "A user" }),
		"a capacity below zero":                  pool(func(p *Pool) { p.Capacity = -1 }),
		"a capacity that cannot be summed":       pool(func(p *Pool) { p.Capacity = MaxUnits + 1 }),
		"a lease below zero":                     pool(func(p *Pool) { p.Lease = -1 }),
		"a grace without an end before it":       pool(func(p *Pool) { p.Lease, p.Grace = 0, 1 }),
		"a borrowing shorter than a lease":       pool(func(p *Pool) { p.Borrow = 1 }),
		"an overdraft in units and percent":      pool(func(p *Pool) { p.Overdraft = Overdraft{Units: 1, Percent: 1} }),
		"an overdraft below zero":                pool(func(p *Pool) { p.Overdraft = Overdraft{Units: -1} }),
		"full: overdraft without one":            pool(func(p *Pool) { p.Full = FullOverdraft }),
		"a queue's bounds without a queue":       pool(func(p *Pool) { p.Queue = Queue{Wait: 1} }),
		"a queue of too many":                    pool(func(p *Pool) { p.Full, p.Queue = FullQueue, Queue{Max: MaxQueue + 1} }),
		"a queue of less than nobody":            pool(func(p *Pool) { p.Full, p.Queue = FullQueue, Queue{Max: -1} }),
		"a match of more than there is":          pool(func(p *Pool) { p.Match = Match{Need: 6, Of: 5} }),
		"a match of none":                        pool(func(p *Pool) { p.Match = Match{Of: 5} }),
		"a pool that does something else":        pool(func(p *Pool) { p.Full = "explode" }),
		"sharing with somebody else":             pool(func(p *Pool) { p.Share = "all" }),
		"a meter without a unit":                 meter(func(m *Meter) { m.Unit = "" }),
		"ten decimal places":                     meter(func(m *Meter) { m.Scale = 10 }),
		"a quota below zero":                     meter(func(m *Meter) { m.Quota = -1 }),
		"a soft limit of two kinds":              meter(func(m *Meter) { m.Soft = Limit{Percent: 1, Amount: 1} }),
		"a hard limit below zero":                meter(func(m *Meter) { m.Hard = Limit{Percent: -1} }),
		"a soft limit above the hard one":        meter(func(m *Meter) { m.Soft = Limit{Amount: 11} }),
		"a queue for a quota":                    meter(func(m *Meter) { m.Full = FullQueue }),
		"a fortnight":                            meter(func(m *Meter) { m.Per = "fortnight" }),
		"an anchor elsewhere":                    meter(func(m *Meter) { m.Anchor = "moon" }),
		"a zone of the machine":                  meter(func(m *Meter) { m.Zone = "Local" }),
		"a zone that is none":                    meter(func(m *Meter) { m.Zone = "Mars/Olympus" }),
		"a product without a team":               product(func(p *Product) { p.Owner.Team = "" }),
		"a product with a blank team":            product(func(p *Product) { p.Owner.Team = " \t" }),
		"a product with a blank pager":           product(func(p *Product) { p.Owner.Pager = "\u00a0" }),
		"a product without a pager":              product(func(p *Product) { p.Owner.Pager = "" }),
		"a product without a runbook":            product(func(p *Product) { p.Owner.Runbook = "ask Bob" }),
		"a product without salt":                 product(func(p *Product) { p.Salt = nil }),
		"a product without a name":               product(func(p *Product) { p.Name = "" }),
		"a license without a customer":           license(func(l *License) { l.Customer = "" }),
		"a license of another status":            license(func(l *License) { l.Status = "maybe" }),
		"a license that is half paid":            license(func(l *License) { l.Payment = "half" }),
		"a license that neither pins or follows": license(func(l *License) { l.Channel = "" }),
		"a license that ends before it starts":   license(func(l *License) { l.Start, l.End = now.Add(2), now.Add(1) }),
		"a license with a bad add-on":            license(func(l *License) { l.Addons = []Grant{{Addon: "a"}} }),
		"a license with a bad exception":         license(func(l *License) { l.Exceptions = []Exception{{}} }),
		"metadata without a name":                license(func(l *License) { l.Metadata = map[string]string{"": "x"} }),
		"an add-on without a name":               Grant{Quantity: 1}.Check(),
		"a refresh of no time":                   Documents{Stale: 1, Life: 1}.Check(),
		"a stale before the refresh":             Documents{Refresh: 2, Stale: 1, Life: 3}.Check(),
		"a life before stale":                    Documents{Refresh: 1, Stale: 3, Life: 2}.Check(),
		"a grace below zero":                     Documents{Refresh: 1, Stale: 1, Life: 1, Grace: -1}.Check(),
		"a customer without a name":              Customer{Name: " "}.Check(),
		"a customer without an address":          Customer{Name: "A", Email: "a@"}.Check(),
		"an environment of another kind":         Environment{Name: "production", Kind: "toy"}.Check(),
		"an environment without a name":          Environment{Kind: Staging}.Check(),
	} {
		if CodeOf(err) != Invalid {
			t.Errorf("%s is accepted: %v", what, err)
		}
	}
}
