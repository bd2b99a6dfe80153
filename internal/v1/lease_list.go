package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A HeldLease is a lease as administrators see it.
type HeldLease struct {
	ID      licensing.LeaseID   `json:"id"`
	License licensing.LicenseID `json:"license"`
	LicenseName
	Pool       string    `json:"pool"`
	Holder     HeldBy    `json:"holder"`
	Units      int64     `json:"units"`
	Generation int64     `json:"generation"`
	Begun      time.Time `json:"begun"`
	Renewed    time.Time `json:"renewed"`
	Ends       time.Time `json:"ends,omitzero" doc:"When the lease's latest document ends; absent for a lease without end."`
	FreeAt     time.Time `json:"free_at,omitzero" doc:"The latest time at which the units can be granted again, unless the lease is renewed."`
	Borrowed   bool      `json:"borrowed,omitempty"`
	Forced     time.Time `json:"forced,omitzero" doc:"When the lease was ended by force. Its units are counted until free_at, because its signed document is valid until then."`
	Recalled   time.Time `json:"recalled,omitzero" doc:"When the holder was asked to give the lease back."`
	Until      time.Time `json:"until,omitzero" doc:"When the holder of a recalled lease must stop; absent until the holder is told."`
	licensing.Caller
}

// HeldBy names a holder.
type HeldBy struct {
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty" doc:"A name by which people recognize the holder, such as a host name."`
}
