package license

import "slices"

// Bounds of a chain of edge certificates.
const (
	MaxChain    = 3                 // certificates between the key set and the document
	MaxEdgeLife = 30 * 24 * 60 * 60 // exp - nbf of a certificate, seconds
)

// An Edge is an edge certificate: a short-lived delegation to an edge, which
// signs leases and replies for one license within these limits.
type Edge struct {
	Claims
	Edge        string           `json:"edge"`
	Incarnation int64            `json:"incarnation"`
	Key         Key              `json:"key"`
	Pools       map[string]int64 `json:"pools,omitempty"` // most units of one document, by pool
}

func (Edge) kind() Type               { return TypeEdge }
func (e Edge) ring() (keyring, error) { return ringOf([]Key{e.Key}) }

// lastDate is that of what the edge signs, which may end after its certificate.
func (e Edge) lastDate() int64 { return max(e.Expires, e.Key.TrustUntil) }

func (e Edge) check() error {
	if err := e.checkRights(); err != nil {
		return err
	}
	if e.Edge == "" {
		return fault(ErrFormat, "no edge")
	}
	if e.Incarnation < 0 {
		return fault(ErrFormat, "incarnation %d", e.Incarnation)
	}
	if e.Expires-e.NotBefore > MaxEdgeLife {
		return fault(ErrChain, "certificate of more than 30 days")
	}
	for _, t := range e.Key.Use {
		if t != TypeLease && t != TypeReply && t != TypeEdge {
			return fault(ErrChain, "an edge does not sign %s", t)
		}
	}
	if e.Key.SignFrom < e.NotBefore {
		return fault(ErrChain, "signs before the certificate's nbf")
	}
	if e.Key.SignUntil > e.Expires {
		return fault(ErrChain, "signs after the certificate's exp")
	}
	if e.Key.Withdrawn != 0 {
		return fault(ErrFormat, "a key withdrawn by its own certificate")
	}
	for name, units := range e.Pools {
		if units < 0 {
			return fault(ErrFormat, "pool %s is negative", name)
		}
	}
	return nil
}

// LeaseChain verifies a lease that an edge signed. The first certificate of the
// chain is that of the edge, the last was signed by a key of the key set.
func (v *Verifier) LeaseChain(leaf string, chain []string, now int64) (*Lease, error) {
	edge, ring, err := v.edge(chain, now)
	if err != nil {
		return nil, err
	}
	l, _, err := read[Lease](v, ring, leaf)
	if err != nil {
		return nil, err
	}
	if err := v.inForce(l.Claims, l.lastDate(), now); err != nil {
		return nil, err
	}
	if err := edge.bounds(l.Claims); err != nil {
		return nil, err
	}
	if l.Node != edge.Edge || l.Incarnation != edge.Incarnation {
		return nil, fault(ErrChain, "of edge %q, incarnation %d", l.Node, l.Incarnation)
	}
	if l.Units > edge.Pools[l.Pool] {
		return nil, fault(ErrChain, "%d units of %s", l.Units, l.Pool)
	}
	return &l, nil
}

// ReplyChain verifies an edge's answer to the question with this nonce.
func (v *Verifier) ReplyChain(leaf string, chain []string, nonce string, now int64) (*Reply, error) {
	if nonce == "" {
		return nil, fault(ErrNonce, "none given")
	}
	edge, ring, err := v.edge(chain, now)
	if err != nil {
		return nil, err
	}
	r, _, err := read[Reply](v, ring, leaf)
	if err != nil {
		return nil, err
	}
	if err := edge.bounds(r.Claims); err != nil {
		return nil, err
	}
	if r.Node != edge.Edge {
		return nil, fault(ErrChain, "of edge %q", r.Node)
	}
	if r.Nonce != nonce {
		return nil, ErrNonce
	}
	return &r, nil
}

// Edge verifies a chain and returns its first certificate.
func (v *Verifier) Edge(chain []string, now int64) (*Edge, error) {
	edge, _, err := v.edge(chain, now)
	return edge, err
}

// edge follows the chain from the key set down and returns the last edge with
// what its key may sign.
func (v *Verifier) edge(chain []string, now int64) (*Edge, keyring, error) {
	if len(chain) == 0 || len(chain) > MaxChain {
		return nil, nil, fault(ErrChain, "%d certificates", len(chain))
	}
	var parent *Edge
	ring := v.ring
	for _, compact := range slices.Backward(chain) {
		cert, key, err := read[Edge](v, ring, compact)
		if err != nil {
			return nil, nil, err
		}
		if parent == nil {
			err = v.fresh(cert.Claims, key, now)
		} else {
			err = cert.within(parent)
		}
		if err != nil {
			return nil, nil, err
		}
		if err := v.inForce(cert.Claims, cert.Expires, now); err != nil {
			return nil, nil, err
		}
		if ring, err = cert.ring(); err != nil {
			return nil, nil, err
		}
		parent = &cert
	}
	return parent, ring, nil
}

// within refuses a certificate that is wider than the one above it.
func (e *Edge) within(parent *Edge) error {
	if err := parent.bounds(e.Claims); err != nil {
		return err
	}
	for name, units := range e.Pools {
		if units > parent.Pools[name] {
			return fault(ErrChain, "%d units of %s", units, name)
		}
	}
	for _, t := range e.Key.Use {
		if !parent.Key.may(t) {
			return fault(ErrChain, "may sign %s", t)
		}
	}
	return nil
}

// bounds refuses a document of another license, of more products or longer than
// the certificate. It can't begin earlier: iat lies in the signing window of the
// edge's key, which lies within the certificate.
func (e *Edge) bounds(c Claims) error {
	if c.Subject != e.Subject {
		return fault(ErrChain, "of license %s", c.Subject)
	}
	for _, product := range c.Audience {
		if !slices.Contains(e.Audience, product) {
			return fault(ErrChain, "product %s", product)
		}
	}
	if c.Expires > e.Expires-2*Epsilon {
		return fault(ErrChain, "exp later than the certificate's less 2ε")
	}
	return nil
}
