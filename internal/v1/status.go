package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// StatusAnswer is how an environment and this server stand.
type StatusAnswer struct {
	Status
	Version string `json:"version" doc:"Of this server"`
}

// A Status is how an environment stands: what was sold, what ends next, and how
// long nothing needs anybody.
type Status struct {
	Environment licensing.Env        `json:"environment"`
	Status      string               `json:"status" enum:"ok,warning,critical" doc:"By the runway: warning from 30 days before a denial, critical from 7. Also warning while the clock is in doubt."`
	At          time.Time            `json:"at"`
	Runway      licensing.Runway     `json:"runway"`
	Deadlines   []licensing.Deadline `json:"deadlines" doc:"What ends next, of keys and of licenses."`
	Licenses    LicenseCounts        `json:"licenses"`
	Plans       []PlanStatus         `json:"plans"`
	Pools       []PoolStatus         `json:"pools" doc:"The pools with the largest share held, at most 20."`
	Moves       []PlanMove           `json:"moves" doc:"Licenses that are on their way to a revision of their plan."`
	Issuer      string               `json:"issuer"`
	SigningKey  string               `json:"signing_key" doc:"Whose turn it is to sign."`
	KeySet      int64                `json:"key_set"`
	Revocations int64                `json:"revocations" doc:"The number of the list of revocations."`
	Entries     int64                `json:"entries" doc:"In the log."`
	Quarantine  []Quarantine         `json:"quarantine,omitempty" doc:"Rows of the log that can't have a place in the tree. Only for tokens of every customer and product."`
	Fenced      time.Time            `json:"fenced_since,omitzero" doc:"Leases that were granted before may be missing, so newcomers wait; see fence."`
	Fence       *FenceStatus         `json:"fence,omitempty" doc:"Until when newcomers wait, and for which pools."`
	Closed      time.Time            `json:"closed_at,omitzero" doc:"When a final backup closed the database: nothing is written here any more."`
	Clock       ClockStatus          `json:"clock,omitzero" doc:"Absent while nobody has a reason to doubt the server's time."`
}

// LicenseCounts counts licenses by status. Ended are active ones whose term is over.
type LicenseCounts struct {
	Active    int64 `json:"active"`
	Suspended int64 `json:"suspended"`
	Revoked   int64 `json:"revoked"`
	Ended     int64 `json:"ended"`
}

// A PlanStatus is a plan in use with the worst case its numbers promise.
type PlanStatus struct {
	Plan     licensing.PlanName `json:"plan"`
	Licenses LicenseCounts      `json:"licenses"`
	Bounds   licensing.Bounds   `json:"bounds"`
}

// A PoolStatus is how full a pool is.
type PoolStatus struct {
	License licensing.LicenseID `json:"license"`
	LicenseName
	Pool     string `json:"pool"`
	Held     int64  `json:"held"`
	Capacity int64  `json:"capacity" doc:"What can be held now, by plan, add-ons and exceptions; 0 where the license is not in force"`
	Waiting  int64  `json:"waiting"`
	Refused  string `json:"refused,omitempty" doc:"Why nobody new gets a unit, whatever is free: suspended, revoked, not_started, term_ended, no_such_pool, or fenced (see fence)"`
}
