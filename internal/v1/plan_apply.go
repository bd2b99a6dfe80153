package v1

import (
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
)

// An ApplyRequest makes plan files the revisions in force on their channels.
// Licenses says who gets them: "new" (licenses issued from now on), "all"
// (also those that follow the channel), or a filter of those, such as
// customer=cus_…,status=active. Below says what to do where less would be
// granted than is held.
type ApplyRequest struct {
	Files    []policy.File   `json:"files" minItems:"1" maxItems:"500"`
	Licenses string          `json:"licenses,omitempty" doc:"new, all, or a filter such as customer=ID,status=active. Default: new."`
	Below    licensing.Below `json:"below,omitempty" enum:"refuse,drain,overdraft" doc:"Where less would be left than is held. Default: refuse."`
	DryRun   bool            `json:"dry_run,omitempty"`
}

// An Impact is what applying plan files does, or would do.
type Impact struct {
	Applied  bool             `json:"applied"`
	Plans    []PlanImpact     `json:"plans"`
	Licenses []LicenseImpact  `json:"licenses" doc:"Whom it touches; at most 1000 are listed, all are counted."`
	Gaining  int              `json:"gaining"`
	Losing   int              `json:"losing"`
	Moving   int              `json:"moving"`
	Short    int              `json:"short" doc:"Licenses that hold more of a pool than would be left; all of them are listed."`
	Misfits  []Misfit         `json:"misfits" doc:"Licenses that cannot be granted by the new revision. With one of them nothing is applied."`
	Pinned   int              `json:"pinned" doc:"Licenses that keep the revision that they are pinned to."`
	Keeping  []PinnedLicense  `json:"keeping" doc:"Those; at most 1000 are listed."`
	Moves    []PlanMove       `json:"moves,omitempty" doc:"What has moved, by plan."`
	Findings []policy.Finding `json:"findings,omitempty"`
}

// A Misfit is a license that cannot be granted by a new revision, and why.
type Misfit struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Reason   string               `json:"reason"`
}

// A PinnedLicense stays at its revision whatever its plan's channel points to.
type PinnedLicense struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Revision licensing.RevisionID `json:"revision"`
}

// A PlanImpact is what becomes of one plan.
type PlanImpact struct {
	Product  licensing.ProductName `json:"product"`
	Plan     licensing.PlanName    `json:"plan"`
	Channel  string                `json:"channel"`
	Revision licensing.RevisionID  `json:"revision"`
	From     licensing.RevisionID  `json:"from,omitempty" doc:"Where the channel points before."`
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
	Changes   []string             `json:"changes" doc:"What is neither more nor less."`
	Shortages []licensing.Shortage `json:"shortages,omitempty" doc:"Pools of which more is held than would be left."`
}
