package v1

// BatchBody is several requests of one program. None of them waits.
type BatchBody struct {
	Acquire []AcquireBody `json:"acquire,omitempty"`
	Renew   []BatchRenew  `json:"renew,omitempty"`
	Release []LeaseName   `json:"release,omitempty"`
	CallerBody
}

// BatchRenew is a request to keep one lease of a batch.
type BatchRenew struct {
	ID string `json:"id"`
	RenewBody
}

// LeaseName identifies a lease as its holder knows it.
type LeaseName struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	Nonce      string `json:"nonce,omitempty" doc:"The nonce of a renewal whose answer was lost, because that renewal may have raised the generation"`
	Lease      string `json:"lease,omitempty" doc:"The latest signed document of the lease, compact JWS. Send it after the answer not_found or conflict"`
	CallerBody
}

// BatchAnswer has an outcome for each request, in the order of the requests.
type BatchAnswer struct {
	Acquire []BatchOutcome `json:"acquire,omitempty"`
	Renew   []BatchOutcome `json:"renew,omitempty"`
	Release []BatchOutcome `json:"release,omitempty"`
}

// BatchOutcome is the outcome of one request of a batch.
type BatchOutcome struct {
	Status  int            `json:"status" doc:"The HTTP status that the request would have had alone"`
	Lease   *LeaseAnswer   `json:"lease,omitempty"`
	Release *ReleaseAnswer `json:"release,omitempty"`
	Problem *Problem       `json:"problem,omitempty"`
}
