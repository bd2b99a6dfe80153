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
	Ends       time.Time `json:"ends,omitzero" doc:"The end of its last document; absent for a lease without end."`
	FreeAt     time.Time `json:"free_at,omitzero" doc:"When its units are granted again at the latest, unless it is renewed."`
	Borrowed   bool      `json:"borrowed,omitempty"`
	Forced     time.Time `json:"forced,omitzero" doc:"When it was ended by force: its units are counted until free_at, for what was signed lives on."`
	Recalled   time.Time `json:"recalled,omitzero" doc:"When its holder was asked to give it back."`
	Until      time.Time `json:"until,omitzero" doc:"When the holder of a recalled lease stops; absent until it was told."`
	licensing.Caller
}

// HeldBy names a holder.
type HeldBy struct {
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty" doc:"What people recognize the holder by, such as a host name."`
}
