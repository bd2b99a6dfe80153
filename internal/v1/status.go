package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// StatusAnswer is the state of an environment and of this server.
type StatusAnswer struct {
	Status
	Version string `json:"version" doc:"The version of this server"`
}

// A Status is the state of an environment: its licenses, what ends next, and how
// long nobody needs to act.
type Status struct {
	Environment licensing.Env        `json:"environment"`
	Status      string               `json:"status" enum:"ok,warning,critical" doc:"Depends on the runway: warning from 30 days before a denial, critical from 7 days before. Also warning while the clock is in doubt."`
	At          time.Time            `json:"at"`
	Runway      licensing.Runway     `json:"runway"`
	Deadlines   []licensing.Deadline `json:"deadlines" doc:"The next ends of keys and licenses."`
	Licenses    LicenseCounts        `json:"licenses"`
	Plans       []PlanStatus         `json:"plans"`
	Pools       []PoolStatus         `json:"pools" doc:"The fullest pools, at most 20."`
	Moves       []PlanMove           `json:"moves" doc:"Groups of licenses that are moving to a revision of their plan."`
	Issuer      string               `json:"issuer"`
	SigningKey  string               `json:"signing_key" doc:"The key that currently signs."`
	KeySet      int64                `json:"key_set"`
	Revocations int64                `json:"revocations" doc:"The number of the list of revocations."`
	Entries     int64                `json:"entries" doc:"The number of entries in the log."`
	Quarantine  []Quarantine         `json:"quarantine,omitempty" doc:"Rows of the log that cannot get a place in the tree. Only for tokens without a customer or product limit."`
	Fenced      time.Time            `json:"fenced_since,omitzero" doc:"Leases granted before this time may be missing, so new requests wait; see fence."`
	Fence       *FenceStatus         `json:"fence,omitempty" doc:"Which pools grant no new leases, and until when."`
	Closed      time.Time            `json:"closed_at,omitzero" doc:"When a final backup closed the database. Nothing is written to it anymore."`
	Clock       ClockStatus          `json:"clock,omitzero" doc:"Absent while there is no reason to doubt the server's time."`
}

// LicenseCounts counts licenses by status. Ended licenses are active ones whose term is over.
type LicenseCounts struct {
	Active    int64 `json:"active"`
	Suspended int64 `json:"suspended"`
	Revoked   int64 `json:"revoked"`
	Ended     int64 `json:"ended"`
}

// A PlanStatus is a plan in use with the worst cases that follow from its numbers.
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
	Capacity int64  `json:"capacity" doc:"Units that can be held now, from plan, add-ons and exceptions; 0 if the license is not in force"`
	Waiting  int64  `json:"waiting"`
	Refused  string `json:"refused,omitempty" doc:"Why no new lease is granted even if units are free: suspended, revoked, not_started, term_ended, no_such_pool, or fenced (see fence)"`
}
