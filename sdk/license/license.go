package license

// Statuses of a license.
const (
	Active    = "active"
	Suspended = "suspended"
	Revoked   = "revoked"
)

// A License states what a customer may use, and until when a program may rely on it without asking
// again.
type License struct {
	Claims
	Dates
	Customer string             `json:"customer"`
	Plan     string             `json:"plan"`
	Revision string             `json:"revision"`
	Edition  string             `json:"edition,omitempty"`
	Status   string             `json:"status"` // Active, Suspended, or Revoked
	Term     Term               `json:"term"`
	Features map[string]Feature `json:"features,omitempty"`
	Fallback map[string]Feature `json:"fallback,omitempty"` // the smaller set
	Pools    map[string]Pool    `json:"pools,omitempty"`
	Meters   map[string]Meter   `json:"meters,omitempty"`
	Binding  *Binding           `json:"cnf,omitempty"`
	Keys     map[string]string  `json:"keys,omitempty"` // by feature, its key, wrapped for the device; see WrapFeatureKey
	Head     *Head              `json:"head,omitempty"`
	Nonce    string             `json:"nonce,omitempty"`

	// LicenseKeys contains the KeyDigest of each key of the license that had not expired when the
	// document was issued. An offline program can then tell whether the document belongs to its
	// key. Imported keys are omitted because some could be guessed.
	LicenseKeys []string `json:"license_keys,omitempty"`
}

// A Feature is a named value that a plan grants.
type Feature struct {
	Value Value `json:"value"`
	Until int64 `json:"until,omitempty"` // its own end; 0 means none
	Then  Value `json:"then,omitzero"`   // its value after its end; none means not granted
}

// A Pool states how many units can be held at once.
type Pool struct {
	Capacity  int64  `json:"capacity"`
	Holder    string `json:"holder"`              // machine, user, workload, or edge
	Overdraft int64  `json:"overdraft,omitempty"` // units beyond the capacity
	Borrow    int64  `json:"borrow,omitempty"`    // maximum length of a lease, in seconds
	Full      string `json:"full,omitempty"`      // deny, queue, fallback, or overdraft
}

// A Meter states how much can be consumed in a period. Quantities are integers in units of
// 10^-Scale.
type Meter struct {
	Unit        string `json:"unit"`
	Scale       int    `json:"scale,omitempty"`
	Quota       int64  `json:"quota"`
	Soft        int64  `json:"soft,omitempty"` // from here on, usage causes a warning
	Hard        int64  `json:"hard,omitempty"` // maximum usage
	Per         string `json:"per,omitempty"`  // hour, day, month, year, or term
	PeriodStart int64  `json:"period_start,omitempty"`
	PeriodEnd   int64  `json:"period_end,omitempty"`
	Used        int64  `json:"used,omitempty"` // when the document was issued
	Full        string `json:"full,omitempty"` // fallback or deny
}

// A Term contains the dates that were bought. Zero means that there is no such date.
type Term struct {
	Start           int64 `json:"start,omitempty"`
	End             int64 `json:"end,omitempty"`
	RenewalGraceEnd int64 `json:"renewal_grace_end,omitempty"` // at or after End
	Maintenance     int64 `json:"maintenance,omitempty"`       // builds that were released later are not covered
	Trial           bool  `json:"trial,omitempty"`
}

// A Binding ties a document to a holder by machine components, at least Need of which must agree,
// and by the thumbprint of the device's key.
type Binding struct {
	Kind       string            `json:"kind"`
	Holder     string            `json:"holder"`
	Need       int               `json:"need,omitempty"`
	Components map[string]string `json:"components,omitempty"` // salted hashes in hexadecimal, by name
	Device     string            `json:"jkt,omitempty"`        // DeviceThumbprint, as RFC 7800 and 9449 name it
}

// A Head is a published size and root hash of the log.
type Head struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // base64
}

func (License) kind() Type        { return TypeLicense }
func (l License) lastDate() int64 { return l.Degraded }

// Matches reports whether the components belong to the binding's machine, according to Compare. A
// nil binding and a binding that requires nothing match everything.
func (b *Binding) Matches(components map[string]string) bool {
	return b == nil || b.Need == 0 || Compare(b.Components, components, b.Need).Same
}

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
				return fault(ErrFormat, "feature %s has a value for after its end, but no end", name)
			}
		}
	}
	for name, p := range l.Pools {
		if p.Capacity < 0 || p.Overdraft < 0 {
			return fault(ErrFormat, "pool %s is negative", name)
		}
	}
	for name, m := range l.Meters {
		if m.Quota < 0 || m.Scale < 0 {
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
		return fault(ErrDates, "renewal grace ends before the term does")
	}
	return nil
}

func (b *Binding) check() error {
	if b == nil {
		return nil
	}
	if b.Need < 0 || b.Need > len(b.Components) {
		return fault(ErrFormat, "binding requires %d of %d components", b.Need, len(b.Components))
	}
	return nil
}
