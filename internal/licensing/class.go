package licensing

// A Class is what a request is worth when not all can be served: what is given up first
// comes first. A batch applies what is worth most first, because a release frees a unit
// and a renewal keeps a customer at work.
type Class int

// The classes. The zero value is given up first.
const (
	ClassAdminister Class = iota
	ClassAcquire
	ClassUsage
	ClassRenew
	ClassRelease
	ClassCritical // health and metrics: never refused, and no part of a batch
	Classes       // how many there are
)

// String returns the name of c, as metrics label it.
func (c Class) String() string {
	return [Classes]string{"administer", "acquire", "usage", "renew", "release", "critical"}[c]
}

// Share is how full a server may be, in percent of its limit, for c still to be taken.
func (c Class) Share() int { return [Classes]int{50, 70, 80, 90, 100, 1000}[c] }
