package licensing

// A Pool is a plan's description of countable units that holders lease and return.
// The units in use are in the store. The rules of leases are in lease.go.
type Pool struct {
	// Holder is the kind of holder: machine, user, workload, instance or any name.
	Holder string `json:"holder"`
	// Capacity is the number of units that may be held at once; 0 grants none.
	Capacity int64 `json:"capacity"`
	// Lease is how long a lease lasts without renewal; 0 means without end.
	Lease Span `json:"lease,omitempty"`
	// Grace is the offline grace of a lease: full function past its due time.
	Grace Span `json:"grace,omitempty"`
	// Borrow is the longest lease that a holder may request; 0 allows no borrowing.
	Borrow Span `json:"borrow,omitempty"`
	// Overdraft is what may be held beyond the capacity, and for how long.
	Overdraft Overdraft `json:"overdraft,omitzero"`
	// Share is which instances use one lease's units together.
	Share Share `json:"share,omitempty"`
	// Full is what happens when capacity and overdraft are used up.
	Full Full `json:"full,omitempty"`
	// Queue limits waiting if Full is FullQueue.
	Queue Queue `json:"queue,omitzero"`
	// Match is how many of a machine's components must agree.
	Match Match `json:"match,omitzero"`
	// ShowHolders includes the holders in a denial.
	ShowHolders bool `json:"show_holders,omitempty"`
	// Recall is how long a holder may continue after it has received a recall; 0 means
	// DefaultRecall.
	Recall Span `json:"recall,omitempty"`

	// name is the pool's name. Compile sets it, so that reasons can name the units.
	name string
}

// An Overdraft is units beyond a pool's capacity: a number, or a percentage of the
// capacity, rounded down. It lasts For, counted from the moment the pool exceeded its
// capacity; 0 means without end. After that, nothing is granted beyond the capacity
// until the pool has been back within it.
type Overdraft struct {
	Units   int64 `json:"units,omitempty"`
	Percent int64 `json:"percent,omitempty"`
	For     Span  `json:"for,omitempty"`
}

// Of returns the number of units that o allows beyond a capacity.
func (o Overdraft) Of(capacity int64) int64 {
	// Divide first, so that no capacity overflows.
	return o.Units + capacity/100*o.Percent + capacity%100*o.Percent/100
}

// IsZero reports whether there is no overdraft.
func (o Overdraft) IsZero() bool { return o.Units == 0 && o.Percent == 0 }

// A Share is which instances of a holder use the same units.
type Share string

// The kinds of sharing. ShareNone counts every instance separately.
const (
	ShareNone   Share = "none"
	ShareHolder Share = "holder"
)

// Full is what happens when too little is left of a pool or a quota.
type Full string

// The kinds of Full. A spent quota supports only FullDeny and FullFallback.
const (
	FullDeny      Full = "deny"      // a denial
	FullQueue     Full = "queue"     // a place in the queue
	FullFallback  Full = "fallback"  // no unit, but the fallback features
	FullOverdraft Full = "overdraft" // units beyond the capacity, then a denial
)

// A Queue limits waiting for a pool.
type Queue struct {
	Wait Span  `json:"wait,omitempty"` // the longest wait, 0 for MaxWait
	Max  int64 `json:"max,omitempty"`  // the most requests that may wait at once, 0 for DefaultQueue
}

// How many requests may wait for a pool at once: the default, and the maximum that a
// plan can set.
const (
	DefaultQueue = 10_000
	MaxQueue     = 100_000
)

// A Match is how many of a machine's components must agree for it to be the
// same machine. The zero Match requires the same holder id.
type Match struct {
	Need int `json:"need"`
	Of   int `json:"of"`
}

// Limit returns the number of units that may be held at once, overdraft included.
func (p Pool) Limit() int64 { return p.Capacity + p.Overdraft.Of(p.Capacity) }

// Endless reports whether leases of p last until they are released.
func (p Pool) Endless() bool { return p.Lease == 0 }

// Shares reports whether instances of a holder use one lease's units together.
// In a pool whose leases never end there are no instances, because the holder has the lease.
func (p Pool) Shares() bool { return p.Share == ShareHolder && !p.Endless() }

// Check refuses a pool that contradicts itself and reports every fault.
func (p Pool) Check() error {
	var f faults
	f.when(p.Holder == "", "holder", "needs a holder, such as machine or user")
	f.when(p.Capacity < 0 || p.Capacity > MaxUnits, "capacity", "capacity %d is not between 0 and %d", p.Capacity, MaxUnits)
	f.when(p.Lease < 0 || p.Grace < 0 || p.Borrow < 0 || p.Overdraft.For < 0 || p.Queue.Wait < 0 || p.Recall < 0, "lease", "has a negative length of time")
	f.when(p.Endless() && (p.Grace != 0 || p.Borrow != 0), "lease grace borrow", "a lease without end takes neither grace nor borrow")
	f.when(!p.Endless() && p.Borrow != 0 && p.Borrow < p.Lease, "borrow lease", "borrow %v is shorter than the lease %v", p.Borrow, p.Lease)
	f.when(p.Overdraft.Units < 0 || p.Overdraft.Units > MaxUnits || p.Overdraft.Percent < 0 || p.Overdraft.Percent > 1000,
		"overdraft", "overdraft must be 0 to %d units or 0 to 1000 percent", MaxUnits)
	f.when(p.Overdraft.Units != 0 && p.Overdraft.Percent != 0, "overdraft", "overdraft must be in units or percent, not both")
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

// MaxUnits is the maximum capacity of a pool. Sums of such numbers cannot overflow.
const MaxUnits = 1_000_000_000_000
