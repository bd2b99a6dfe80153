package license

// Revocations is the list of rights that end early.
type Revocations struct {
	Claims
	Revoked []Revocation `json:"revoked,omitempty"`
}

// A Revocation ends the rights of a license, lease or edge before their dates.
type Revocation struct {
	Subject  string `json:"sub"`
	At       int64  `json:"at"`
	Reason   string `json:"reason,omitempty"`
	Fallback bool   `json:"fallback,omitempty"` // reduces rights only to the fallback
	// Seq exempts documents with a higher seq, such as those of a license that was reinstated. Zero
	// exempts none.
	Seq Seq `json:"seq"`
}

func (Revocations) kind() Type        { return TypeRevocations }
func (r Revocations) lastDate() int64 { return r.Expires }

// Of returns the revocation of a subject, or nil if there is none.
func (r *Revocations) Of(subject string) *Revocation {
	for i := range r.Revoked {
		if r.Revoked[i].Subject == subject {
			return &r.Revoked[i]
		}
	}
	return nil
}

func (r Revocations) check() error {
	if err := r.Claims.check(); err != nil {
		return err
	}
	for _, one := range r.Revoked {
		if one.Subject == "" || one.At <= 0 {
			return fault(ErrFormat, "revocation without a subject or time")
		}
	}
	return nil
}
