package v1

// CallerBody is what a program says of itself. It is the same in every request:
// members of the body, or parameters where there is no body.
type CallerBody struct {
	Service  string `json:"service,omitempty" maxLength:"200" doc:"What asks, for those who look what depends on what"`
	Version  string `json:"version,omitempty" maxLength:"200" doc:"The program's version"`
	Instance string `json:"instance,omitempty" maxLength:"200" doc:"Which running copy: of the holder, where a lease is acquired or checked"`
	Region   string `json:"region,omitempty" maxLength:"200" doc:"Where it runs"`
}
