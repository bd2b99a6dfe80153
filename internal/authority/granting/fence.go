package granting

// fenced reports whether newcomers to p must wait because the database may have lost leases.
func (b *batch) fenced(p *Pool) bool {
	_, waits := b.granting.ledger.FencedUntil(&p.Terms.Terms, p.Name, b.Now())
	return waits
}
