package v1

import "copyhold.dev/sdk/license"

// AcquireBody asks for units of a pool.
type AcquireBody struct {
	RequestID string     `json:"request_id" doc:"The request's own name: sent again, it gives the same lease"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in what is signed"`
	Pool      string     `json:"pool"`
	Units     int64      `json:"units,omitempty" doc:"1 when left out"`
	Holder    HolderBody `json:"holder"`
	For       int64      `json:"for,omitempty" doc:"How long, in seconds, for borrowing; the pool's own length when left out"`
	Wait      int64      `json:"wait,omitempty" doc:"How long to hold the request while others have the units, in seconds, at most 300"`
	CallerBody
}

// RenewBody keeps a lease.
type RenewBody struct {
	Generation int64  `json:"generation" doc:"Of the lease as it was last signed"`
	Nonce      string `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in what is signed"`
	For        int64  `json:"for,omitempty" doc:"How long, in seconds; the pool's own length when left out"`
	Lease      string `json:"lease,omitempty" doc:"The lease as it was last signed, compact JWS: to be shown when the answer was not_found or gone, for the server may have lost what it knew"`
	CallerBody
}

// LeaseAnswer is what became of an acquire or a renewal. With 201 and 200 the
// units are held, or the fallback is in force and there is no lease; with 202
// there is a ticket.
type LeaseAnswer struct {
	Decision   license.Decision `json:"decision"`
	ID         string           `json:"id,omitempty" doc:"The lease"`
	Generation int64            `json:"generation,omitempty" doc:"To be named when it is renewed or released"`
	Lease      string           `json:"lease,omitempty" doc:"The lease, compact JWS"`
	Ticket     string           `json:"ticket,omitempty" doc:"The place in the queue"`
	Reply      string           `json:"reply,omitempty" doc:"The decision, signed, when there is no lease and the request had a nonce"`
}

// RecallBody says why a lease is recalled.
type RecallBody struct {
	Reason string `json:"reason,omitempty" maxLength:"400" doc:"Its holder and the log are told"`
}

// ReleaseAnswer is what a release freed.
type ReleaseAnswer struct {
	ID     string `json:"id"`
	FreeAt int64  `json:"free_at" doc:"When its units can be granted again, Unix seconds: later than now if the lease was ended by force"`
}
