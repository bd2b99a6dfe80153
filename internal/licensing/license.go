package licensing

import (
	"cmp"
	"time"

	"copyhold.dev/sdk/license"
)

// A Status is the vendor's last statement about a license, apart from its dates.
type Status string

// The statuses. A revoked license stays revoked.
const (
	Active    Status = license.Active
	Suspended Status = license.Suspended
	Revoked   Status = license.Revoked
)

// A Payment is whether the present term is paid for.
type Payment string

// The states of payment. An unpaid license stays in force and is not renewed.
const (
	Paid   Payment = "paid"
	Unpaid Payment = "unpaid"
)

// A License is a plan granted to a customer.
type License struct {
	Env      Env
	ID       LicenseID
	Product  ProductName
	Customer CustomerID
	Plan     PlanName
	// Revision pins the license to one revision. If it is empty, the license follows Channel.
	Revision RevisionID
	Channel  string
	// Granted is the revision in force: the pinned one, or the one that the channel
	// pointed to when the license last moved. Empty means that it is not resolved yet.
	Granted RevisionID
	// Edition replaces the plan's own edition. Empty means the plan's own.
	Edition string
	Status  Status
	Payment Payment
	// Reference is the vendor's own number. It is unique if it is not empty.
	Reference string
	Issued    time.Time
	// Start is zero until the first use of a license that starts with it.
	Start time.Time
	// End is zero for a perpetual license and one that has not started.
	End time.Time
	// TermEnd is the original end of the term if an extension has moved End, or moved the
	// Maintenance of a license without end. Renewals count from it.
	TermEnd time.Time
	// Renewed are the times at which renewed terms began.
	Renewed []time.Time
	// Ended are the ends of renewed terms at which no renewed term began.
	// They help to recognize a repeated renewal.
	Ended []time.Time
	// Maintenance is the last release date covered; zero covers all.
	Maintenance time.Time
	Addons      []Grant
	Exceptions  []Exception
	// Scheduled are changes that are made when the next term begins.
	Scheduled []Change
	// ChangeAt is when they are made, zero until the license is renewed.
	ChangeAt time.Time
	Metadata map[string]string
	// Seq orders statements about the license; every change raises it.
	Seq license.Seq
}

// Check refuses a license that lacks an identity or whose parts contradict each other.
func (l License) Check() error {
	switch {
	case l.ID == "" || l.Customer == "" || l.Product == "" || l.Plan == "":
		return Errorf(Invalid, "a license needs an id, a customer, a product and a plan")
	case l.Status != Active && l.Status != Suspended && l.Status != Revoked:
		return Errorf(Invalid, "status %q is not active, suspended or revoked", l.Status).At("status")
	case l.Payment != Paid && l.Payment != Unpaid:
		return Errorf(Invalid, "payment %q is not paid or unpaid", l.Payment).At("payment")
	case len(l.Reference) > 200:
		return Errorf(Invalid, "the reference is longer than 200 bytes").At("reference")
	case l.Revision == "" && l.Channel == "":
		return Errorf(Invalid, "a license must pin a revision or follow a channel").At("channel")
	}
	if err := checkSpan("license "+string(l.ID), l.Start, l.End); err != nil {
		return err
	}
	for _, g := range l.Addons {
		if err := g.Check(); err != nil {
			return err
		}
	}
	for _, e := range l.Exceptions {
		if err := e.Check(); err != nil {
			return err
		}
	}
	return CheckMetadata(l.Metadata)
}

// CheckDates refuses dates that cannot be written. Use it for dates that are given in a
// request: a date that is already stored must not prevent a license from being suspended.
func (l License) CheckDates() error {
	return cmp.Or(CheckDate("start", l.Start), CheckDate("end", l.End), CheckDate("maintenance", l.Maintenance),
		checkGiven(l.Addons, l.Exceptions))
}

func checkGiven(grants []Grant, exceptions []Exception) error {
	for _, g := range grants {
		if err := cmp.Or(CheckDate("from", g.From), CheckDate("until", g.Until)); err != nil {
			return Errorf(Invalid, "add-on %s: %w", g.Addon, err).At("addons")
		}
	}
	for _, e := range exceptions {
		if err := cmp.Or(CheckDate("from", e.From), CheckDate("until", e.Until)); err != nil {
			return Errorf(Invalid, "exception: %w", err).At("exceptions")
		}
	}
	return nil
}

// Suspend returns l suspended. A license that is already suspended stays so; a revoked
// one is a Conflict.
func (l License) Suspend() (License, error) { return l.turn(Suspended) }

// Reinstate returns a suspended l as active, with its dates unchanged.
func (l License) Reinstate() (License, error) { return l.turn(Active) }

// Revoke returns l revoked, which is permanent.
func (l License) Revoke() License {
	l.Status = Revoked
	return l
}

func (l License) turn(s Status) (License, error) {
	if l.Status == Revoked {
		return l, Errorf(Conflict, "license %s is revoked; a revocation is permanent", l.ID)
	}
	l.Status = s
	return l, nil
}
