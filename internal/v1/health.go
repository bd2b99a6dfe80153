package v1

// Health is whether the server can work, and if not, why.
type Health struct {
	Status string   `json:"status" enum:"ok,unavailable" doc:"ok, or unavailable"`
	Causes []string `json:"causes,omitempty" doc:"Why it is unavailable"`
	// Warnings are not a reason to send traffic elsewhere.
	Warnings []string `json:"warnings,omitempty" doc:"Problems that an operator should look at, although the server still works"`
}
