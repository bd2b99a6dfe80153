package v1

// CallerBody is what a program reports about itself. It is the same in every request:
// members of the body, or query parameters if there is no body.
type CallerBody struct {
	Service  string `json:"service,omitempty" maxLength:"200" doc:"The name of the calling service, shown when tracing dependencies"`
	Version  string `json:"version,omitempty" maxLength:"200" doc:"The program's version"`
	Instance string `json:"instance,omitempty" maxLength:"200" doc:"The running copy of the program; for leases and checks, the instance of the holder"`
	Region   string `json:"region,omitempty" maxLength:"200" doc:"Where the program runs"`
}
