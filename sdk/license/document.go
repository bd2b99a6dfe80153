package license

import (
	"crypto/sha256"
	"encoding/hex"
)

// Status of a license.
const (
	Active    = "active"
	Suspended = "suspended"
	Revoked   = "revoked"
)

// A License says what a customer may use, and until when without asking again.
type License struct {
	Claims
	Dates
	Customer string             `json:"customer"`
	Plan     string             `json:"plan"`
	Revision string             `json:"revision"`
	Edition  string             `json:"edition,omitempty"`
	Status   string             `json:"status"` // Active, Suspended or Revoked
	Term     Term               `json:"term"`
	Features map[string]Feature `json:"features,omitempty"`
	Fallback map[string]Feature `json:"fallback,omitempty"` // the smaller set
	Pools    map[string]Pool    `json:"pools,omitempty"`
	Meters   map[string]Meter   `json:"meters,omitempty"`
	Binding  *Binding           `json:"cnf,omitempty"`
	Keys     map[string]string  `json:"keys,omitempty"` // feature to its key, wrapped for the device; see WrapFeatureKey
	Head     *Head              `json:"head,omitempty"`
	Nonce    string             `json:"nonce,omitempty"`
}

// A Feature is a named value that a plan grants.
type Feature struct {
	Value Value `json:"value"`
	Until int64 `json:"until,omitempty"` // its own end, 0 for none
	Then  Value `json:"then,omitzero"`   // what it is worth from its end on; no value: nothing
}

// A Pool says how many units can be held at once.
type Pool struct {
	Capacity  int64  `json:"capacity"`
	Holder    string `json:"holder"`              // machine, user, workload or edge
	Overdraft int64  `json:"overdraft,omitempty"` // units beyond capacity
	Borrow    int64  `json:"borrow,omitempty"`    // the longest lease, seconds
	Full      string `json:"full,omitempty"`      // deny, queue, fallback or overdraft
}

// A Meter says how much can be consumed in a period. Quantities are integers
// at 10^-Scale of the unit.
type Meter struct {
	Unit        string `json:"unit"`
	Scale       int    `json:"scale,omitempty"`
	Quota       int64  `json:"quota"`
	Soft        int64  `json:"soft,omitempty"` // warned from here on
	Hard        int64  `json:"hard,omitempty"` // refused from here on
	Per         string `json:"per,omitempty"`  // hour, day, month, year or term
	PeriodStart int64  `json:"period_start,omitempty"`
	PeriodEnd   int64  `json:"period_end,omitempty"`
	Used        int64  `json:"used,omitempty"` // when the document was issued
	Full        string `json:"full,omitempty"` // fallback or deny
}

// A Term is what was bought. Zero means no such date.
type Term struct {
	Start           int64 `json:"start,omitempty"`
	End             int64 `json:"end,omitempty"`
	RenewalGraceEnd int64 `json:"renewal_grace_end,omitempty"` // at or after End
	Maintenance     int64 `json:"maintenance,omitempty"`       // builds released later are not covered
	Trial           bool  `json:"trial,omitempty"`
}

// A Binding commits a document to a holder: by components of which at least
// Need have to agree, and by the thumbprint of the device's key.
type Binding struct {
	Kind       string            `json:"kind"`
	Holder     string            `json:"holder"`
	Need       int               `json:"need,omitempty"`
	Components map[string]string `json:"components,omitempty"` // name to salted hash, hexadecimal
	Device     string            `json:"jkt,omitempty"`        // DeviceThumbprint, as RFC 7800 and 9449 name it
}

// Matches reports whether enough components are those of the binding. Nil, and
// a binding that names none, match everything.
func (b *Binding) Matches(components map[string]string) bool {
	if b == nil || b.Need == 0 {
		return true
	}
	agree := 0
	for name, hash := range b.Components {
		if components[name] == hash {
			agree++
		}
	}
	return agree >= b.Need
}

// A Head is a published size and root hash of the log.
type Head struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // base64
}

// A Lease says which units of a pool a holder has.
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
	Incarnation int64    `json:"incarnation,omitempty"` // of that edge
}

// A Reply answers one question, told by its nonce.
type Reply struct {
	Claims
	Nonce    string   `json:"nonce"`
	Decision Decision `json:"decision"`
	Document string   `json:"document,omitempty"` // DocumentHash of the document it speaks of
	Time     int64    `json:"time"`               // the server's, seconds
	Head     *Head    `json:"head,omitempty"`
	Entry    string   `json:"entry,omitempty"`
	Node     string   `json:"node,omitempty"`
}

// DocumentHash names a document in a reply: SHA-256, hexadecimal.
func DocumentHash(compact string) string {
	sum := sha256.Sum256([]byte(compact))
	return hex.EncodeToString(sum[:])
}

// Covers returns ErrDocument unless the reply speaks of this document.
func (r *Reply) Covers(compact string) error {
	if r.Document != DocumentHash(compact) {
		return ErrDocument
	}
	return nil
}

// Revocations is the list of rights that ended early.
type Revocations struct {
	Claims
	Revoked []Revocation `json:"revoked,omitempty"`
}

// A Revocation ends the rights of a license, lease or edge before their dates.
type Revocation struct {
	Subject  string `json:"sub"`
	At       int64  `json:"at"`
	Reason   string `json:"reason,omitempty"`
	Fallback bool   `json:"fallback,omitempty"` // down to the fallback only
	// Seq spares documents with a higher one, such as those of a license that
	// was reinstated. Zero spares none.
	Seq Seq `json:"seq"`
}

// Of returns the revocation of a subject, nil if there is none.
func (r *Revocations) Of(subject string) *Revocation {
	for i := range r.Revoked {
		if r.Revoked[i].Subject == subject {
			return &r.Revoked[i]
		}
	}
	return nil
}

// An Override is an approved, temporary exception for one license: while it
// lasts each date of the ladder is the later of its own and the document's.
type Override struct {
	Claims
	Dates
	Reason   string   `json:"reason"`
	Approved []string `json:"approved"` // by whom
}

// A Bulletin is an override for many licenses at once, for when the vendor is
// down. Empty lists select everything.
type Bulletin struct {
	Claims
	Dates
	Reason    string   `json:"reason"`
	Plans     []string `json:"plans,omitempty"`
	Customers []string `json:"customers,omitempty"`
	Licenses  []string `json:"licenses,omitempty"`
}

func (License) kind() Type     { return TypeLicense }
func (Lease) kind() Type       { return TypeLease }
func (Reply) kind() Type       { return TypeReply }
func (Revocations) kind() Type { return TypeRevocations }
func (Override) kind() Type    { return TypeOverride }
func (Bulletin) kind() Type    { return TypeBulletin }

func (l License) lastDate() int64     { return l.Degraded }
func (l Lease) lastDate() int64       { return l.Degraded }
func (r Reply) lastDate() int64       { return r.Expires }
func (r Revocations) lastDate() int64 { return r.Expires }
func (o Override) lastDate() int64    { return o.Degraded }
func (b Bulletin) lastDate() int64    { return b.Degraded }

func (l License) check() error {
	if err := l.checkRights(); err != nil {
		return err
	}
	if err := l.Dates.check(l.Claims); err != nil {
		return err
	}
	if l.Status != Active && l.Status != Suspended && l.Status != Revoked {
		return fault(ErrFormat, "status %q", l.Status)
	}
	if err := l.Term.check(); err != nil {
		return err
	}
	for _, set := range []map[string]Feature{l.Features, l.Fallback} {
		for name, f := range set {
			if f.Value.IsZero() {
				return fault(ErrFormat, "feature %s has no value", name)
			}
			if f.Until == 0 && !f.Then.IsZero() {
				return fault(ErrFormat, "feature %s has a value for after an end it does not have", name)
			}
		}
	}
	for name, p := range l.Pools {
		if p.Capacity < 0 || p.Overdraft < 0 {
			return fault(ErrFormat, "pool %s is negative", name)
		}
	}
	for name, m := range l.Meters {
		if m.Quota < 0 {
			return fault(ErrFormat, "meter %s is negative", name)
		}
	}
	return l.Binding.check()
}

func (t Term) check() error {
	if t.End != 0 && t.End < t.Start {
		return fault(ErrDates, "term ends before it starts")
	}
	if t.RenewalGraceEnd != 0 && t.RenewalGraceEnd < t.End {
		return fault(ErrDates, "renewal grace ends before the term")
	}
	return nil
}

func (b *Binding) check() error {
	if b != nil && (b.Need < 0 || b.Need > len(b.Components)) {
		return fault(ErrFormat, "binding needs %d of %d", b.Need, len(b.Components))
	}
	return nil
}

func (l Lease) check() error {
	if err := l.checkRights(); err != nil {
		return err
	}
	if err := l.Dates.check(l.Claims); err != nil {
		return err
	}
	if l.Lease == "" || l.Pool == "" || l.Holder == "" {
		return fault(ErrFormat, "lease without a name, pool or holder")
	}
	if l.Units < 1 || l.Generation < 0 || l.Incarnation < 0 {
		return fault(ErrFormat, "lease of %d units, generation %d, incarnation %d", l.Units, l.Generation, l.Incarnation)
	}
	return l.Binding.check()
}

func (r Reply) check() error {
	if err := r.checkRights(); err != nil {
		return err
	}
	if r.Time <= 0 {
		return fault(ErrFormat, "no time")
	}
	switch r.Decision.Outcome {
	case Allowed, Denied, Unavailable:
		return nil
	}
	return fault(ErrFormat, "outcome %q", r.Decision.Outcome)
}

func (r Revocations) check() error {
	if err := r.Claims.check(); err != nil {
		return err
	}
	for _, one := range r.Revoked {
		if one.Subject == "" || one.At <= 0 {
			return fault(ErrFormat, "revocation without subject or time")
		}
	}
	return nil
}

func (o Override) check() error {
	if err := o.checkRights(); err != nil {
		return err
	}
	if len(o.Approved) == 0 {
		return fault(ErrFormat, "override without approval")
	}
	return o.Dates.check(o.Claims)
}

func (b Bulletin) check() error {
	if err := b.Claims.check(); err != nil {
		return err
	}
	if len(b.Audience) == 0 {
		return fault(ErrFormat, "no aud")
	}
	return b.Dates.check(b.Claims)
}
