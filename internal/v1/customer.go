package v1

// CustomerBody is a request for a customer.
type CustomerBody struct {
	Name      string            `json:"name" minLength:"1" maxLength:"200"`
	Email     string            `json:"email,omitempty" maxLength:"320"`
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"The vendor's own number, unique in the environment"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// A CustomerChange is what to change about a customer. Nil fields stay unchanged.
type CustomerChange struct {
	Name      *string            `json:"name,omitempty"`
	Email     *string            `json:"email,omitempty"`
	Reference *string            `json:"reference,omitempty"`
	Metadata  *map[string]string `json:"metadata,omitempty"`
}
