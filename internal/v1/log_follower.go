package v1

import "time"

// A Follower is how far somebody has read the log.
type Follower struct {
	Name     string    `json:"name"`
	Position int64     `json:"position" doc:"The index of the next entry to read."`
	Behind   int64     `json:"behind" doc:"Entries that it has not read; it may see none of them."`
	MovedAt  time.Time `json:"moved_at,omitzero" doc:"When it last moved; absent for one that never did."`
}

// A FollowedPage is what follows in the log.
type FollowedPage struct {
	Position int64      `json:"position" doc:"Where the follower is."`
	Items    []LogEntry `json:"items" doc:"The entries that follow, the oldest first, of those that the token sees."`
	Next     int64      `json:"next" doc:"Where to move the follower once the items were taken care of."`
	More     bool       `json:"more" doc:"Whether more follows."`
}

// A FollowerMove moves a follower over entries that were taken care of.
type FollowerMove struct {
	From int64 `json:"from" minimum:"0" doc:"Where the follower is; 0 for a new one."`
	To   int64 `json:"to" minimum:"0" doc:"next of the page that was taken care of, or the size of the log to begin with what is new."`
}
