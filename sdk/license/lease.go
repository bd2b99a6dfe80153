package license

// A Lease states which units of a pool a holder has.
type Lease struct {
	Claims
	Dates
	Lease       string   `json:"lease"`
	Pool        string   `json:"pool"`
	Units       int64    `json:"units"`
	Holder      string   `json:"holder"`
	Instance    string   `json:"instance,omitempty"`
	Generation  int64    `json:"generation"`
	Binding     *Binding `json:"cnf,omitempty"`
	Entry       string   `json:"entry,omitempty"` // leaf hash of its log entry, hexadecimal
	Head        *Head    `json:"head,omitempty"`
	Nonce       string   `json:"nonce,omitempty"`
	Node        string   `json:"node,omitempty"`        // the edge that granted it
	Incarnation int64    `json:"incarnation,omitempty"` // the edge's incarnation
	Recall      *Recall  `json:"recall,omitempty"`
}

// A Recall asks the holder of a lease to give it back. It is in the signed lease, so a fake server
// can't forge one.
type Recall struct {
	Until  int64  `json:"until"` // deadline, Unix seconds
	Reason string `json:"reason,omitempty"`
}

func (Lease) kind() Type        { return TypeLease }
func (l Lease) lastDate() int64 { return l.Degraded }

func (l Lease) check() error {
	if err := l.checkRights(); err != nil {
		return err
	}
	if err := l.Dates.check(l.Claims); err != nil {
		return err
	}
	if l.Lease == "" || l.Pool == "" || l.Holder == "" {
		return fault(ErrFormat, "lease without an id, pool, or holder")
	}
	if l.Units < 1 || l.Generation < 0 || l.Incarnation < 0 {
		return fault(ErrFormat, "lease with %d units, generation %d, incarnation %d", l.Units, l.Generation, l.Incarnation)
	}
	return l.Binding.check()
}
