package granting

// fenced reports whether newcomers to p wait for what the database may have
// forgotten.
func (b *batch) fenced(p *Pool) bool {
	_, waits := b.granting.ledger.FencedUntil(&p.Terms.Terms, p.Name, b.Now())
	return waits
}
