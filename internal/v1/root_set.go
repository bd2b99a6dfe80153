package v1

import "time"

// An InstalledRootSet is the result of a ceremony.
type InstalledRootSet struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
	Roots   []string  `json:"roots" doc:"The root keys now in force."`
	Gone    []string  `json:"gone" doc:"The root keys that no longer sign."`
	KeySet  int64     `json:"keyset" doc:"The number of the new key set."`
}
