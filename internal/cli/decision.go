package cli

// A decision is the server's word on what a license allows.
type decision struct {
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Rule    string `json:"rule"`
}
