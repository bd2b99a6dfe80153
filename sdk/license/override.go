package license

import "slices"

// An Override is an approved, temporary exception for one license. While it lasts, each date of the
// ladder is the later of the override's and the document's.
type Override struct {
	Claims
	Dates
	Reason   string   `json:"reason"`
	Approved []string `json:"approved"` // the people who approved it
}

// A Bulletin is an override for many licenses at once, for when the vendor's service is down. An
// empty list selects everything.
type Bulletin struct {
	Claims
	Dates
	Reason    string   `json:"reason"`
	Plans     []string `json:"plans,omitempty"`
	Customers []string `json:"customers,omitempty"`
	Licenses  []string `json:"licenses,omitempty"`
}

func (Bulletin) kind() Type        { return TypeBulletin }
func (Override) kind() Type        { return TypeOverride }
func (b Bulletin) lastDate() int64 { return b.Degraded }
func (o Override) lastDate() int64 { return o.Degraded }

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

func (b *Bulletin) covers(l *License) bool {
	if b.Issuer != l.Issuer || !overlap(b.Audience, l.Audience) {
		return false
	}
	return (len(b.Plans) == 0 || slices.Contains(b.Plans, l.Plan)) &&
		(len(b.Customers) == 0 || slices.Contains(b.Customers, l.Customer)) &&
		(len(b.Licenses) == 0 || slices.Contains(b.Licenses, l.Subject))
}

func overlap(a, b []string) bool {
	for _, s := range a {
		if slices.Contains(b, s) {
			return true
		}
	}
	return false
}
