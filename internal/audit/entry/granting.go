package entry

import "copyhold.dev/internal/licensing"

// A Begin is the log's record of a lease that began.
type Begin struct {
	Holder  string `json:"holder"`
	Units   int64  `json:"units"`
	Expires int64  `json:"expires,omitempty"` // unix seconds
	licensing.Caller
}

// A Stock is the log's record of an overdraft that began or ended.
type Stock struct {
	Held     int64 `json:"held"`
	Capacity int64 `json:"capacity"`
}

// A Copy is the log's record of a document that another server of the deployment signed.
type Copy struct {
	Document string `json:"document"` // its id
	IssuedAt int64  `json:"issued_at"`
	Epoch    int64  `json:"epoch"`
	Size     int64  `json:"size"` // of that server's log
	Root     string `json:"root"`
}

// A Ticket is the log's record of a place in a queue.
type Ticket struct {
	Holder string `json:"holder"`
	Units  int64  `json:"units"`
	By     string `json:"by,omitempty"`
	licensing.Caller
}

// A Clone is the log's record of two instances that used one lease.
type Clone struct {
	Holder   string `json:"holder"`
	Instance string `json:"instance,omitempty"`
	By       string `json:"by,omitempty"` // the instance that came second
	Shown    int64  `json:"shown"`
	InForce  int64  `json:"in_force"`
	licensing.Caller
}

// A Prolong is the log's record of a lease that was borrowed by a renewal.
type Prolong struct {
	Begin
	Renewed bool `json:"renewed"`
}

// A Presented is the log's record of a lease that was put back from its document because the record had lost it.
type Presented struct {
	Begin
	Generation int64  `json:"generation"`
	Epoch      int64  `json:"epoch"`
	Document   string `json:"document"`         // its id
	Beyond     bool   `json:"beyond,omitempty"` // the pool had no room for it
}

// A Meter is the log's record of usage that was recorded, and of a limit that it reached.
type Meter struct {
	From   int64 `json:"from"` // unix seconds
	Until  int64 `json:"until,omitempty"`
	Used   int64 `json:"used"`  // in the period, in units of 10^-Scale
	Added  int64 `json:"added"` // with this entry
	Scale  int   `json:"scale"`
	Events int64 `json:"events"`
	// By is the program that recorded Added, as it reported itself.
	By []Recorder `json:"by,omitempty"`
}

// A Recorder is the log's record of a program that recorded usage.
type Recorder struct {
	licensing.Caller
	Added  int64 `json:"added"`
	Events int64 `json:"events"`
}
