package license

// MayReplace returns ErrSeq unless the seq of a newer license is higher than
// that of the held one, or both are the same document. Another license is ErrSubject.
func (l *License) MayReplace(held *License) error {
	if l.Issuer != held.Issuer || l.Subject != held.Subject {
		return ErrSubject
	}
	return supersedes(l.Claims, held.Claims)
}

// MayReplace is the same for a lease. The incarnation of an edge counts before
// its epoch; leases of different edges are not compared: ErrSubject.
func (l *Lease) MayReplace(held *Lease) error {
	if l.Issuer != held.Issuer || l.Subject != held.Subject || l.Lease != held.Lease || l.Node != held.Node {
		return ErrSubject
	}
	if l.Incarnation != held.Incarnation {
		if l.Incarnation < held.Incarnation {
			return fault(ErrSeq, "incarnation %d, held %d", l.Incarnation, held.Incarnation)
		}
		return nil
	}
	return supersedes(l.Claims, held.Claims)
}

// MayReplace is the same for a list of revocations.
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
