package v1

import (
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// A Token is the visible part of a token: everything except its text.
type Token struct {
	Env      licensing.Env         `json:"environment" doc:"The token's environment, or all if it spans environments."`
	ID       licensing.TokenID     `json:"id"`
	Name     string                `json:"name"`
	Role     access.Role           `json:"role"`
	Product  licensing.ProductName `json:"product,omitempty"`
	Customer licensing.CustomerID  `json:"customer,omitempty"`
	// CustomerName is set in lists and when a single token is shown.
	CustomerName string    `json:"customer_name,omitempty"`
	CreatedBy    string    `json:"created_by"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at,omitzero" doc:"Absent if the token never expires."`
	UsedAt       time.Time `json:"used_at,omitzero" doc:"Accurate to five minutes; absent if the token was never used."`
}

// A TokenRequest is a request for a new token. Spans makes it valid in every
// environment. The role customer needs a Customer.
type TokenRequest struct {
	Name      string                `json:"name" minLength:"1" maxLength:"200"`
	Role      access.Role           `json:"role" enum:"owner,admin,issuer,operator,viewer,auditor,customer"`
	Product   licensing.ProductName `json:"product,omitempty"`
	Customer  licensing.CustomerID  `json:"customer,omitempty"`
	ExpiresAt time.Time             `json:"expires_at,omitzero"`
	Spans     bool                  `json:"spans,omitempty" doc:"Whether the token is valid in every environment."`
}

// A NewToken is a token with its text, which is shown only once.
type NewToken struct {
	Token
	Text string `json:"secret"`
}
