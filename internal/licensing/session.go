package licensing

import "time"

// SessionGap ends a session: one holder's attempts at one thing, denied for one
// reason. A denial this long after the previous one begins another session.
const SessionGap = 15 * time.Minute
