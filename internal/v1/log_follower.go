package v1

import "time"

// A Follower is the position up to which a reader has processed the log.
type Follower struct {
	Name     string    `json:"name"`
	Position int64     `json:"position" doc:"The index of the next entry to read."`
	Behind   int64     `json:"behind" doc:"Entries that it has not processed. Some may be invisible to its token."`
	MovedAt  time.Time `json:"moved_at,omitzero" doc:"When it last moved; absent if it never did."`
}

// A FollowedPage is the entries after a follower's position.
type FollowedPage struct {
	Position int64      `json:"position" doc:"Where the follower is."`
	Items    []LogEntry `json:"items" doc:"The next entries that the token may see, oldest first."`
	Next     int64      `json:"next" doc:"The position to move the follower to after the items were processed."`
	More     bool       `json:"more" doc:"Whether there are more entries."`
}

// A FollowerMove moves a follower past entries that were processed.
type FollowerMove struct {
	From int64 `json:"from" minimum:"0" doc:"The follower's current position; 0 for a new one."`
	To   int64 `json:"to" minimum:"0" doc:"The member next of the page that was processed, or the size of the log to begin with new entries."`
}
