package v1

import "copyhold.dev/internal/licensing"

// EnvironmentBody is a request for an environment.
type EnvironmentBody struct {
	Name licensing.Env  `json:"name" minLength:"1" maxLength:"64"`
	Kind licensing.Kind `json:"kind" enum:"production,staging,development"`
}
