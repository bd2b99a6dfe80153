package licensing

import "time"

// A Deadline is a time from which something will be denied unless a person or a
// program acts. Cause is the kind, and Subject the thing.
type Deadline struct {
	Cause   RunwayCause `json:"cause"`
	Subject string      `json:"subject"`
	At      time.Time   `json:"at"`
}

// A RunwayCause is a kind of deadline.
type RunwayCause string

// The causes that end a runway.
const (
	RunwayTerm       RunwayCause = "term"        // a license's term and renewal grace end
	RunwaySigningKey RunwayCause = "signing_key" // the last prepared signing key ends unless the root signs more
	RunwayKeySet     RunwayCause = "key_set"     // the key set ends
	RunwayStatus     RunwayCause = "status"      // the license is suspended or revoked
)

// A Runway is the time until something will be denied, and its first cause.
type Runway struct {
	Never   bool        `json:"never,omitempty"`
	Seconds int64       `json:"seconds"` // negative if it has happened
	Cause   RunwayCause `json:"cause,omitempty"`
	Subject string      `json:"subject,omitempty"`
	At      time.Time   `json:"at,omitzero"`
}

// FirstDenial returns the runway that deadlines leave at now. A deadline without a
// time never arrives.
func FirstDenial(now time.Time, deadlines []Deadline) Runway {
	first := Runway{Never: true}
	for _, d := range deadlines {
		if d.At.IsZero() || !first.Never && !d.At.Before(first.At) {
			continue
		}
		first = Runway{Seconds: d.At.Unix() - now.Unix(), Cause: d.Cause, Subject: d.Subject, At: d.At}
	}
	return first
}

// Deadline returns when the license's full function ends unless it is renewed.
func (t Terms) Deadline() Deadline {
	return Deadline{Cause: RunwayTerm, Subject: string(t.License), At: t.Limit()}
}

// Denied returns the deadline of a license that is not in force, which has passed. A
// revoked or suspended license is denied whatever its term.
func (t Terms) Denied(now time.Time) Deadline {
	d := t.Deadline()
	if t.Status != Active {
		d.Cause, d.At = RunwayStatus, now
	}
	return d
}

// Warning returns the smallest number of days of the schedule 90, 60, 30, 14, 7 and 1
// that is not below the time left. It returns false while more than 90 days remain.
func Warning(now, at time.Time) (days int, due bool) {
	left := at.Sub(now)
	for _, n := range []int{90, 60, 30, 14, 7, 1} {
		if left <= time.Duration(n)*24*time.Hour {
			days, due = n, true
		}
	}
	return days, due
}
