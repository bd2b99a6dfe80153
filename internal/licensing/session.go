package licensing

import "time"

// SessionGap ends a session: one holder's tries for one thing, denied for one
// reason. A denial that comes this long after the one before it begins another.
const SessionGap = 15 * time.Minute
