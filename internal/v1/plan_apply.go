package v1

import (
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
)

// An ApplyRequest makes plan files the revisions in force on their channels.
// Licenses is which licenses get them: "new" (licenses issued from now on), "all"
// (also those that follow the channel), or a filter of those, such as
// customer=cus_…,status=active. Below is what to do if a pool would have fewer
// units than are in use.
type ApplyRequest struct {
	Files    []policy.File   `json:"files" minItems:"1" maxItems:"500"`
	Licenses string          `json:"licenses,omitempty" doc:"new, all, or a filter such as customer=ID,status=active. Default: new."`
	Below    licensing.Below `json:"below,omitempty" enum:"refuse,drain,overdraft" doc:"What to do if a pool would have fewer units than are in use. Default: refuse."`
	DryRun   bool            `json:"dry_run,omitempty"`
}

// An Impact is the effect of applying plan files.
type Impact struct {
	Applied  bool             `json:"applied"`
	Plans    []PlanImpact     `json:"plans"`
	Licenses []LicenseImpact  `json:"licenses" doc:"Affected licenses. At most 1000 are listed; all are counted."`
	Gaining  int              `json:"gaining"`
	Losing   int              `json:"losing"`
	Moving   int              `json:"moving"`
	Short    int              `json:"short" doc:"Licenses that use more units of a pool than would remain; all of them are listed."`
	Misfits  []Misfit         `json:"misfits" doc:"Licenses that do not fit the new revision. If there is one, nothing is applied."`
	Pinned   int              `json:"pinned" doc:"The number of licenses that keep the revision they are pinned to."`
	Keeping  []PinnedLicense  `json:"keeping" doc:"The pinned licenses; at most 1000 are listed."`
	Moves    []PlanMove       `json:"moves,omitempty" doc:"The moves that were started, by plan."`
	Findings []policy.Finding `json:"findings,omitempty"`
}

// A Misfit is a license that does not fit a new revision, and the reason.
type Misfit struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Reason   string               `json:"reason"`
}

// A PinnedLicense stays on its revision wherever its plan's channel points.
type PinnedLicense struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Revision licensing.RevisionID `json:"revision"`
}

// A PlanImpact is the effect on one plan.
type PlanImpact struct {
	Product  licensing.ProductName `json:"product"`
	Plan     licensing.PlanName    `json:"plan"`
	Channel  string                `json:"channel"`
	Revision licensing.RevisionID  `json:"revision"`
	From     licensing.RevisionID  `json:"from,omitempty" doc:"The revision that the channel pointed to before."`
	Status   string                `json:"status" enum:"new,changed,unchanged"`
	Changes  []string              `json:"changes"`
	Warnings []string              `json:"warnings"`
	Bounds   licensing.Bounds      `json:"bounds"`
}

// A LicenseImpact is what a license gains and loses.
type LicenseImpact struct {
	License   licensing.LicenseID  `json:"license"`
	Customer  licensing.CustomerID `json:"customer"`
	Plan      licensing.PlanName   `json:"plan"`
	Gains     []string             `json:"gains"`
	Loses     []string             `json:"loses"`
	Changes   []string             `json:"changes" doc:"Changes that are neither a gain nor a loss."`
	Shortages []licensing.Shortage `json:"shortages,omitempty" doc:"Pools that would have fewer units than are in use."`
}
