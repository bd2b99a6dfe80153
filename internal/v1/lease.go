package v1

import "copyhold.dev/sdk/license"

// AcquireBody is a request for units of a pool.
type AcquireBody struct {
	RequestID string     `json:"request_id" doc:"The request's own id; sending it again returns the same lease"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in the signed answer"`
	Pool      string     `json:"pool"`
	Units     int64      `json:"units,omitempty" doc:"Default 1"`
	Holder    HolderBody `json:"holder"`
	For       int64      `json:"for,omitempty" doc:"How long to borrow the units, in seconds; default: the pool's own length"`
	Wait      int64      `json:"wait,omitempty" doc:"How long to keep the request open while the units are in use, in seconds, at most 300"`
	CallerBody
}

// RenewBody is a request to keep a lease.
type RenewBody struct {
	Generation int64  `json:"generation" doc:"The generation of the lease in its latest signed document"`
	Nonce      string `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in the signed answer"`
	For        int64  `json:"for,omitempty" doc:"How long, in seconds; default: the pool's own length"`
	Lease      string `json:"lease,omitempty" doc:"The latest signed document of the lease, compact JWS. Send it after the answer not_found or gone, because the server may have lost its record of the lease"`
	CallerBody
}

// LeaseAnswer is the outcome of an acquire or a renewal. With 201 and 200 the
// units are held, or the fallback is in force and there is no lease. With 202
// there is a ticket.
type LeaseAnswer struct {
	Decision   license.Decision `json:"decision"`
	ID         string           `json:"id,omitempty" doc:"The lease's id"`
	Generation int64            `json:"generation,omitempty" doc:"The generation to send when the lease is renewed or released"`
	Lease      string           `json:"lease,omitempty" doc:"The signed lease, compact JWS"`
	Ticket     string           `json:"ticket,omitempty" doc:"The id of the place in the queue"`
	Reply      string           `json:"reply,omitempty" doc:"The signed decision, if there is no lease and the request had a nonce"`
}

// RecallBody is the reason for recalling a lease.
type RecallBody struct {
	Reason string `json:"reason,omitempty" maxLength:"400" doc:"The reason, which is sent to the holder and recorded in the log"`
}

// ReleaseAnswer is the result of a release.
type ReleaseAnswer struct {
	ID     string `json:"id"`
	FreeAt int64  `json:"free_at" doc:"When the units can be granted again, in Unix seconds; in the future if the lease was ended by force"`
}
