package licensing

import "time"

// A Kind of environment determines how strict Copyhold is in it.
type Kind string

// The kinds of environments. Only development accepts times of seconds
// without a warning.
const (
	Production  Kind = "production"
	Staging     Kind = "staging"
	Development Kind = "development"
)

// An Environment has its own data, keys and tokens.
type Environment struct {
	Name    Env       `json:"name"`
	Kind    Kind      `json:"kind"`
	Created time.Time `json:"created"`
}

// Check refuses an environment without a valid name or kind.
func (e Environment) Check() error {
	if err := CheckName("environment", string(e.Name)); err != nil {
		return err
	}
	switch e.Kind {
	case Production, Staging, Development:
		return nil
	}
	return Errorf(Invalid, "environment %s: kind %q is not production, staging or development", e.Name, e.Kind).At("kind")
}
