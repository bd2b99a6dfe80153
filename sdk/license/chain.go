package license

import "slices"

// Limits of a chain of edge certificates.
const (
	MaxChain    = 3                 // certificates between the key set and the document
	MaxEdgeLife = 30 * 24 * 60 * 60 // exp - nbf of a certificate, seconds
)

// An Edge is an edge certificate: a short-lived delegation to an edge, which signs leases and
// replies for one license within the limits in the certificate.
type Edge struct {
	Claims
	Edge        string           `json:"edge"`
	Incarnation int64            `json:"incarnation"`
	Key         Key              `json:"key"`
	Pools       map[string]int64 `json:"pools,omitempty"` // maximum units in one document, by pool
}

func (Edge) kind() Type               { return TypeEdge }
func (e Edge) ring() (keyring, error) { return ringOf([]Key{e.Key}) }

// lastDate returns the last date of the documents that the edge signs. They may end after its
// certificate.
func (e Edge) lastDate() int64 { return max(e.Expires, e.Key.TrustUntil) }

func (e Edge) check() error {
	if err := e.checkRights(); err != nil {
		return err
	}
	if e.Edge == "" {
		return fault(ErrFormat, "no edge name")
	}
	if e.Incarnation < 0 {
		return fault(ErrFormat, "incarnation %d", e.Incarnation)
	}
	if e.Expires-e.NotBefore > MaxEdgeLife {
		return fault(ErrChain, "certificate is valid for more than 30 days")
	}
	for _, t := range e.Key.Use {
		if t != TypeLease && t != TypeReply && t != TypeEdge {
			return fault(ErrChain, "an edge may not sign %s", t)
		}
	}
	if e.Key.SignFrom < e.NotBefore {
		return fault(ErrChain, "key signs before the certificate's nbf")
	}
	if e.Key.SignUntil > e.Expires {
		return fault(ErrChain, "key signs after the certificate's exp")
	}
	if e.Key.Withdrawn != 0 {
		return fault(ErrFormat, "key is withdrawn in its own certificate")
	}
	for name, units := range e.Pools {
		if units < 0 {
			return fault(ErrFormat, "pool %s is negative", name)
		}
	}
	return nil
}

// LeaseChain verifies a lease that an edge signed. The first certificate in the chain is the edge's
// own. A key of the key set signed the last one.
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
		return nil, fault(ErrChain, "lease of edge %q, incarnation %d", l.Node, l.Incarnation)
	}
	if l.Units > edge.Pools[l.Pool] {
		return nil, fault(ErrChain, "lease of %d units of %s", l.Units, l.Pool)
	}
	return &l, nil
}

// ReplyChain verifies an edge's answer to the request with this nonce.
func (v *Verifier) ReplyChain(leaf string, chain []string, nonce string, now int64) (*Reply, error) {
	if nonce == "" {
		return nil, fault(ErrNonce, "no nonce given")
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
		return nil, fault(ErrChain, "reply of edge %q", r.Node)
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

// edge follows the chain down from the key set. It returns the last edge and the documents that its
// key may sign.
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

// within refuses a certificate that is wider than its parent.
func (e *Edge) within(parent *Edge) error {
	if err := parent.bounds(e.Claims); err != nil {
		return err
	}
	for name, units := range e.Pools {
		if units > parent.Pools[name] {
			return fault(ErrChain, "certificate for %d units of %s", units, name)
		}
	}
	for _, t := range e.Key.Use {
		if !parent.Key.may(t) {
			return fault(ErrChain, "certificate may sign %s", t)
		}
	}
	return nil
}

// bounds refuses a document of another license, for more products, or with later dates than the
// certificate. The document can't begin earlier: its iat lies in the signing window of the edge's
// key, which lies within the certificate.
func (e *Edge) bounds(c Claims) error {
	if c.Subject != e.Subject {
		return fault(ErrChain, "document of license %s", c.Subject)
	}
	for _, product := range c.Audience {
		if !slices.Contains(e.Audience, product) {
			return fault(ErrChain, "product %s", product)
		}
	}
	if c.Expires > e.Expires-2*Epsilon {
		return fault(ErrChain, "exp is later than the certificate's exp minus 2ε")
	}
	return nil
}
