package licensing

import "time"

// Dates are after 1970-01-01T00:00:00Z, which means no date where times are
// stored as numbers, and before the last second of the year 9999, the last year
// that RFC 3339 can express. Computed dates stop at that second, so that they can
// always be written. As an input it is refused, because the true date is unknown.
const (
	firstDate int64 = 1
	lastDate  int64 = 253402300799 // 9999-12-31T23:59:59Z
)

// Dated reports whether t can be a date. The zero time is none.
func Dated(t time.Time) bool { return t.Unix() >= firstDate && t.Unix() < lastDate }

// CheckDate refuses a time that cannot be a date. The zero time means that no date
// was given, and is accepted.
func CheckDate(field string, t time.Time) error {
	if t.IsZero() || Dated(t) {
		return nil
	}
	return Errorf(Invalid, "%s %s is not a date between 1970 and 9999", field, stamp(t)).At(field)
}

// ParseDate reads a day, which begins at midnight UTC, or an RFC 3339 time.
// It fails with Invalid if the text is neither, or is out of range.
func ParseDate(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return time.Time{}, Errorf(Invalid, "%q is not a date such as 2027-01-31 or 2027-01-31T12:00:00Z", s)
	}
	if !Dated(t) {
		return time.Time{}, Errorf(Invalid, "%q is not a date between 1970 and 9999", s)
	}
	return t.UTC(), nil
}

// Later returns the date d after the date t. It stops at the last
// second of the year 9999.
func Later(t time.Time, d time.Duration) time.Time { return atMost(t.Add(d)) }

// atMost returns t, or the last second that can be written if t is after it.
func atMost(t time.Time) time.Time {
	if t.Unix() > lastDate {
		return time.Unix(lastDate, 0).UTC()
	}
	return t
}
