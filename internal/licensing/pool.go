package licensing

// A Pool is counted, returnable units that holders lease. It is a plan's
// description; what is held lies in the store. Lease rules are in lease.go.
type Pool struct {
	// Holder says what holds: machine, user, workload, instance or any name.
	Holder string `json:"holder"`
	// Capacity is the units that may be held at once; 0 grants none.
	Capacity int64 `json:"capacity"`
	// Lease is how long a lease lasts without being renewed; 0 is without end.
	Lease Span `json:"lease,omitempty"`
	// Grace is the offline grace of a lease: full function past its due time.
	Grace Span `json:"grace,omitempty"`
	// Borrow is the longest lease a holder may ask for; 0 is no borrowing.
	Borrow Span `json:"borrow,omitempty"`
	// Overdraft is what may be held beyond the capacity, and for how long.
	Overdraft Overdraft `json:"overdraft,omitzero"`
	// Share says which instances use one lease's units together.
	Share Share `json:"share,omitempty"`
	// Full is what a pool does when capacity and overdraft are held.
	Full Full `json:"full,omitempty"`
	// Queue bounds waiting where Full is FullQueue.
	Queue Queue `json:"queue,omitzero"`
	// Match is how many of a machine's components must agree.
	Match Match `json:"match,omitzero"`
	// ShowHolders tells a program that is denied who holds.
	ShowHolders bool `json:"show_holders,omitempty"`
	// Recall is how long a holder may go on after it was told of a recall; 0 is
	// DefaultRecall.
	Recall Span `json:"recall,omitempty"`
}

// An Overdraft is units beyond a pool's capacity: a count, or a percentage of
// it, rounded down. Counted from the moment the pool went over, it lasts For;
// 0 is without end. After that nothing is granted beyond the capacity until
// the pool has been back within it.
type Overdraft struct {
	Units   int64 `json:"units,omitempty"`
	Percent int64 `json:"percent,omitempty"`
	For     Span  `json:"for,omitempty"`
}

// Of returns the units beyond a capacity that o allows.
func (o Overdraft) Of(capacity int64) int64 {
	// Divided first, so that no capacity overflows.
	return o.Units + capacity/100*o.Percent + capacity%100*o.Percent/100
}

// IsZero reports whether there is no overdraft.
func (o Overdraft) IsZero() bool { return o.Units == 0 && o.Percent == 0 }

// A Share says which instances of a holder use the same units.
type Share string

// The kinds of sharing. ShareNone counts every instance by itself.
const (
	ShareNone   Share = "none"
	ShareHolder Share = "holder"
)

// Full says what is done when there is not enough of a pool or of a quota.
type Full string

// What a full pool can do. A spent quota knows FullDeny and FullFallback.
const (
	FullDeny      Full = "deny"      // a denial
	FullQueue     Full = "queue"     // a place in the queue
	FullFallback  Full = "fallback"  // no unit, but the fallback features
	FullOverdraft Full = "overdraft" // units beyond the capacity, then a denial
)

// A Queue bounds waiting for a pool.
type Queue struct {
	Wait Span  `json:"wait,omitempty"` // the longest anybody may wait, 0 is MaxWait
	Max  int64 `json:"max,omitempty"`  // the most who may wait at once, 0 is DefaultQueue
}

// The most who may wait for a pool at once: where the plan does not say, and
// where it does.
const (
	DefaultQueue = 10_000
	MaxQueue     = 100_000
)

// A Match is how many of a machine's components must agree for it to be the
// same machine. The zero Match asks for exact equality of the holder's id.
type Match struct {
	Need int `json:"need"`
	Of   int `json:"of"`
}

// Limit returns the units that may be held at once, overdraft included.
func (p Pool) Limit() int64 { return p.Capacity + p.Overdraft.Of(p.Capacity) }

// Endless reports whether leases of p last until they are released.
func (p Pool) Endless() bool { return p.Lease == 0 }

// Shares reports whether instances of a holder use one lease's units together.
// In a pool without end there are no instances: the holder has the lease.
func (p Pool) Shares() bool { return p.Share == ShareHolder && !p.Endless() }

// Check refuses a pool that contradicts itself, with all that is wrong.
func (p Pool) Check() error {
	var f faults
	f.when(p.Holder == "", "holder", "needs a holder, such as machine or user")
	f.when(p.Capacity < 0 || p.Capacity > MaxUnits, "capacity", "capacity %d is not between 0 and %d", p.Capacity, MaxUnits)
	f.when(p.Lease < 0 || p.Grace < 0 || p.Borrow < 0 || p.Overdraft.For < 0 || p.Queue.Wait < 0 || p.Recall < 0, "lease", "has a length of time below zero")
	f.when(p.Endless() && (p.Grace != 0 || p.Borrow != 0), "lease grace borrow", "a lease without end needs neither grace nor borrow")
	f.when(!p.Endless() && p.Borrow != 0 && p.Borrow < p.Lease, "borrow lease", "borrow %v is shorter than the lease %v", p.Borrow, p.Lease)
	f.when(p.Overdraft.Units < 0 || p.Overdraft.Units > MaxUnits || p.Overdraft.Percent < 0 || p.Overdraft.Percent > 1000,
		"overdraft", "overdraft is not between 0 and %d units or 0 and 1000 percent", MaxUnits)
	f.when(p.Overdraft.Units != 0 && p.Overdraft.Percent != 0, "overdraft", "overdraft is units or percent, not both")
	f.when(p.Full == FullOverdraft && p.Overdraft.IsZero(), "full overdraft", "full: overdraft needs an overdraft")
	known := p.Full == FullDeny || p.Full == FullQueue || p.Full == FullFallback || p.Full == FullOverdraft
	f.when(known && p.Full != FullQueue && p.Queue != Queue{}, "queue full", "queue bounds need full: queue")
	f.when(p.Queue.Max < 0 || p.Queue.Max > MaxQueue, "queue", "queue max %d is not between 0 and %d", p.Queue.Max, MaxQueue)
	f.when(p.Match.Need < 0 || p.Match.Need > p.Match.Of || p.Match.Need == 0 && p.Match.Of != 0 || p.Match.Of > 32,
		"match", "match needs 1 to %d of at most 32 components", p.Match.Of)
	f.when(!known, "full", "full: %q is not deny, queue, fallback or overdraft", p.Full)
	f.when(p.Share != ShareNone && p.Share != ShareHolder, "share", "share: %q is not none or holder", p.Share)
	if p.Holder != "" {
		f.add(CheckName("holder", p.Holder))
	}
	return f.all()
}

// MaxUnits is the most units a pool can have: sums of them cannot overflow.
const MaxUnits = 1_000_000_000_000
