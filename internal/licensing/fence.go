package licensing

import "time"

// A Fence is the time since when the record of an environment's leases may be behind
// what holders were told, for example after a restore. While a pool is fenced, only
// holders that prove their lease are served from it, and newcomers wait.
type Fence struct {
	Since  time.Time // zero: there is no fence
	Epoch  int64     // the epoch that began with the fence
	Ending bool      // only leases that have an end can be missing
	// Plans and Products are, by pool, the longest time that a lost lease can be in
	// use after Since. Learn fills them.
	Plans    map[PlanName]map[string]Span
	Products map[ProductName]map[string]Span
	// Declared is when two people declared that nothing is missing, zero if nobody
	// did. Newcomers have been served since then.
	Declared time.Time
}

// Longest returns the longest time that a document of a lease of p has full function
// after it was signed.
func (p Pool) Longest(documents Documents) Span {
	if p.Endless() {
		return documents.Life + documents.Grace
	}
	return max(p.Lease, p.Borrow) + p.Grace
}

// Learn adds to f the leases that a revision of a plan could have granted.
func (f *Fence) Learn(p Plan) {
	if f.Plans == nil {
		f.Plans, f.Products = map[PlanName]map[string]Span{}, map[ProductName]map[string]Span{}
	}
	if f.Plans[p.Name] == nil {
		f.Plans[p.Name] = map[string]Span{}
	}
	if f.Products[p.Product] == nil {
		f.Products[p.Product] = map[string]Span{}
	}
	for name, pool := range p.Pools {
		if pool.Endless() && f.Ending {
			continue
		}
		longest := pool.Longest(p.Documents)
		f.Plans[p.Name][name] = max(f.Plans[p.Name][name], longest)
		f.Products[p.Product][name] = max(f.Products[p.Product][name], longest)
	}
}

// Until returns until when a lease of a pool may be in use that the record does
// not know, zero if there is none. It depends on the longest lease that any
// revision of the license's plan could have granted. A license that changed
// since the loss may have had another plan, so every plan of its product
// counts. A license that was issued after the loss has lost nothing.
func (f Fence) Until(t *Terms, pool string, skew time.Duration) time.Time {
	switch {
	case f.Since.IsZero(), !f.Ending && t.Issued.After(f.Since):
		return time.Time{}
	case t.Seq.Epoch >= f.Epoch:
		return f.end(f.Products[t.Product][pool], skew)
	}
	return f.end(f.Plans[t.Plan][pool], skew)
}

// Lost reports whether leases of a pool that the record does not know may be in use.
func (f Fence) Lost(t *Terms, pool string, skew time.Duration, now time.Time) bool {
	return now.Before(f.Until(t, pool, skew))
}

// Waits reports whether newcomers to a pool must wait for leases that may have been
// lost, and until when.
func (f Fence) Waits(t *Terms, pool string, skew time.Duration, now time.Time) (until time.Time, wait bool) {
	until = f.Until(t, pool, skew)
	return until, f.Declared.IsZero() && now.Before(until)
}

// Proven reports whether l was granted or renewed after the loss, so that its holder
// certainly has it.
func (f Fence) Proven(l Lease) bool { return l.Renewed.After(f.Since) }

// refusedByFence tells newcomers to wait.
func refusedByFence(id LicenseID, pool string, until, now time.Time) error {
	return Errorf(Unavailable,
		"pool %s of license %s grants no new leases before %s: the server was restored and may have lost leases that last until then; current holders keep theirs; run copyhold fence to see how to end the wait",
		pool, id, stamp(until)).After(until.Sub(now))
}

// End returns Until for the licenses of a plan that have not changed since the loss.
func (f Fence) End(plan PlanName, pool string, skew time.Duration) time.Time {
	return f.end(f.Plans[plan][pool], skew)
}

// Last returns when the fence ends for the last pool of all plans, zero if there is no fence.
func (f Fence) Last(skew time.Duration) (last time.Time) {
	for _, pools := range f.Products {
		for _, longest := range pools {
			last = later(last, f.end(longest, skew))
		}
	}
	return last
}

func (f Fence) end(longest Span, skew time.Duration) time.Time {
	if f.Since.IsZero() || longest == 0 {
		return time.Time{}
	}
	return f.Since.Add(longest.Duration() + skew)
}
