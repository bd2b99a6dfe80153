package license

// MayReplace returns ErrSeq unless this license has a higher seq than the held one or is the same
// document. It returns ErrSubject if it is another license.
func (l *License) MayReplace(held *License) error {
	if l.Issuer != held.Issuer || l.Subject != held.Subject {
		return ErrSubject
	}
	return supersedes(l.Claims, held.Claims)
}

// MayReplace does the same for a lease. The incarnation of an edge is compared before its epoch.
// Leases of different edges can't be compared, which is ErrSubject.
func (l *Lease) MayReplace(held *Lease) error {
	if l.Issuer != held.Issuer || l.Subject != held.Subject || l.Lease != held.Lease || l.Node != held.Node {
		return ErrSubject
	}
	if l.Incarnation != held.Incarnation {
		if l.Incarnation < held.Incarnation {
			return fault(ErrSeq, "incarnation %d; the held lease has %d", l.Incarnation, held.Incarnation)
		}
		return nil
	}
	return supersedes(l.Claims, held.Claims)
}

// MayReplace does the same for a revocation list.
func (r *Revocations) MayReplace(held *Revocations) error {
	if r.Issuer != held.Issuer {
		return ErrSubject
	}
	return supersedes(r.Claims, held.Claims)
}

func supersedes(c, held Claims) error {
	if c.Seq.Compare(held.Seq) > 0 || c.Seq == held.Seq && c.ID == held.ID {
		return nil
	}
	return fault(ErrSeq, "%v, held %v", c.Seq, held.Seq)
}
