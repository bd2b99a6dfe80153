package v1

// Health says whether the server can do its work, and if not, why.
type Health struct {
	Status string   `json:"status" enum:"ok,unavailable" doc:"ok, or unavailable"`
	Causes []string `json:"causes,omitempty" doc:"Why it is unavailable"`
	// Warnings are no reason to send traffic elsewhere.
	Warnings []string `json:"warnings,omitempty" doc:"What an operator should look at, although the server can decide"`
}
