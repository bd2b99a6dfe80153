package v1

import "time"

// An InstalledRootSet is what a ceremony changed.
type InstalledRootSet struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
	Roots   []string  `json:"roots" doc:"In force now."`
	Gone    []string  `json:"gone" doc:"They sign nothing any more."`
	KeySet  int64     `json:"keyset" doc:"Number of the key set that came with it."`
}
