package licensing

// A Class is the priority of a request under load, from the first to be shed to the
// last. A batch applies high priorities first, because a release frees a unit
// and a renewal keeps a customer working.
type Class int

// The classes. The zero value is shed first.
const (
	ClassAdminister Class = iota
	ClassAcquire
	ClassUsage
	ClassRenew
	ClassRelease
	ClassCritical // health and metrics: never refused and never part of a batch
	Classes       // the number of classes
)

// String returns the name of c, which metrics use as a label.
func (c Class) String() string {
	return [Classes]string{"administer", "acquire", "usage", "renew", "release", "critical"}[c]
}

// Share returns up to which load, in percent of its limit, a server still accepts c.
func (c Class) Share() int { return [Classes]int{50, 70, 80, 90, 100, 1000}[c] }
