package licensing

import (
	"cmp"
	"time"

	"copyhold.dev/sdk/license"
)

// A Status is what the vendor last said of a license, apart from its dates.
type Status string

// The statuses. A revoked license stays revoked.
const (
	Active    Status = license.Active
	Suspended Status = license.Suspended
	Revoked   Status = license.Revoked
)

// A Payment says whether the present term is paid for.
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
	// Revision pins the license to one revision; empty follows Channel.
	Revision RevisionID
	Channel  string
	// Granted is the revision in force: the pinned one, or where the channel
	// pointed when the license last moved. Empty is not resolved yet.
	Granted RevisionID
	// Edition takes the place of the plan's own; empty is the plan's.
	Edition string
	Status  Status
	Payment Payment
	// Reference is the vendor's own number, unique when not empty.
	Reference string
	Issued    time.Time
	// Start is zero until the first use of a license that starts with it.
	Start time.Time
	// End is zero for a perpetual license and one that has not started.
	End time.Time
	// TermEnd is where the term ends by itself, when an extension has moved End, or the
	// Maintenance of a license without end. Renewals count from it.
	TermEnd time.Time
	// Renewed are the times at which renewed terms began.
	Renewed []time.Time
	// Ended are the ends of terms that were renewed, as far as no renewed term began
	// there: what a repeated renewal is recognized by.
	Ended []time.Time
	// Maintenance is the last release date covered; zero covers all.
	Maintenance time.Time
	Addons      []Grant
	Exceptions  []Exception
	// Scheduled are changes that are made when the next term begins.
	Scheduled []Change
	// ChangeAt is when that is; zero until the license is renewed.
	ChangeAt time.Time
	Metadata map[string]string
	// Seq orders what is said about the license; every change raises it.
	Seq license.Seq
}

// Check refuses a license that lacks an identity, or whose parts contradict.
func (l License) Check() error {
	switch {
	case l.ID == "" || l.Customer == "" || l.Product == "" || l.Plan == "":
		return Errorf(Invalid, "a license needs an id, a customer, a product and a plan")
	case l.Status != Active && l.Status != Suspended && l.Status != Revoked:
		return Errorf(Invalid, "status %q is not active, suspended or revoked", l.Status).At("status")
	case l.Payment != Paid && l.Payment != Unpaid:
		return Errorf(Invalid, "payment %q is not paid or unpaid", l.Payment).At("payment")
	case len(l.Reference) > 200:
		return Errorf(Invalid, "the reference is over 200 bytes").At("reference")
	case l.Revision == "" && l.Channel == "":
		return Errorf(Invalid, "a license pins a revision or follows a channel").At("channel")
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

// CheckDates refuses dates that can't be written. It is for dates that somebody
// gives: what is stored already must not keep a license from being suspended.
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

// Suspend returns l suspended. A suspended license stays so; a revoked one is
// a Conflict.
func (l License) Suspend() (License, error) { return l.turn(Suspended) }

// Reinstate returns a suspended l active; its dates go on as they were.
func (l License) Reinstate() (License, error) { return l.turn(Active) }

// Revoke returns l revoked, for good.
func (l License) Revoke() License {
	l.Status = Revoked
	return l
}

func (l License) turn(s Status) (License, error) {
	if l.Status == Revoked {
		return l, Errorf(Conflict, "license %s is revoked; a revocation is for good", l.ID)
	}
	l.Status = s
	return l, nil
}
