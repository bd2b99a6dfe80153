package entry

import "copyhold.dev/internal/licensing"

// A Begin is what the log keeps of a lease that began.
type Begin struct {
	Holder  string `json:"holder"`
	Units   int64  `json:"units"`
	Expires int64  `json:"expires,omitempty"` // unix seconds
	licensing.Caller
}

// A Stock is what the log keeps of an overdraft that began or ended.
type Stock struct {
	Held     int64 `json:"held"`
	Capacity int64 `json:"capacity"`
}

// A Copy is what the log keeps of a document that another server of the deployment signed.
type Copy struct {
	Document string `json:"document"` // its id
	IssuedAt int64  `json:"issued_at"`
	Epoch    int64  `json:"epoch"`
	Size     int64  `json:"size"` // of the log that its server has
	Root     string `json:"root"`
}

// A Ticket is what the log keeps of a place in a queue.
type Ticket struct {
	Holder string `json:"holder"`
	Units  int64  `json:"units"`
	By     string `json:"by,omitempty"`
	licensing.Caller
}

// A Clone is what the log keeps of two instances that use one lease.
type Clone struct {
	Holder   string `json:"holder"`
	Instance string `json:"instance,omitempty"`
	By       string `json:"by,omitempty"` // the instance that came second
	Shown    int64  `json:"shown"`
	InForce  int64  `json:"in_force"`
	licensing.Caller
}

// A Prolong is what the log keeps of a lease that was renewed to be borrowed.
type Prolong struct {
	Begin
	Renewed bool `json:"renewed"`
}

// A Presented is what the log keeps of a lease that its holder showed and the record had lost.
type Presented struct {
	Begin
	Generation int64  `json:"generation"`
	Epoch      int64  `json:"epoch"`
	Document   string `json:"document"`         // its id
	Beyond     bool   `json:"beyond,omitempty"` // the pool had no room for it
}

// A Meter is what the log keeps of usage that was recorded, and of a limit that it reached.
type Meter struct {
	From   int64 `json:"from"` // unix seconds
	Until  int64 `json:"until,omitempty"`
	Used   int64 `json:"used"`  // in the period, in units of 10^-Scale
	Added  int64 `json:"added"` // with this entry
	Scale  int   `json:"scale"`
	Events int64 `json:"events"`
	// By is what recorded Added, as far as it said.
	By []Recorder `json:"by,omitempty"`
}

// A Recorder is what the log keeps of a program that recorded usage.
type Recorder struct {
	licensing.Caller
	Added  int64 `json:"added"`
	Events int64 `json:"events"`
}
