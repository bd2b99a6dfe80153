package v1

import (
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// A Token is what may be known of a token: everything but its text.
type Token struct {
	Env      licensing.Env         `json:"environment" doc:"all for one that spans environments."`
	ID       licensing.TokenID     `json:"id"`
	Name     string                `json:"name"`
	Role     access.Role           `json:"role"`
	Product  licensing.ProductName `json:"product,omitempty"`
	Customer licensing.CustomerID  `json:"customer,omitempty"`
	// CustomerName is there in lists, and where one token is shown.
	CustomerName string    `json:"customer_name,omitempty"`
	CreatedBy    string    `json:"created_by"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at,omitzero" doc:"Absent: never."`
	UsedAt       time.Time `json:"used_at,omitzero" doc:"Exact to five minutes; absent: never."`
}

// A TokenRequest asks for a new token. Spans asks for one that reaches every
// environment; the role customer needs a Customer.
type TokenRequest struct {
	Name      string                `json:"name" minLength:"1" maxLength:"200"`
	Role      access.Role           `json:"role" enum:"owner,admin,issuer,operator,viewer,auditor,customer"`
	Product   licensing.ProductName `json:"product,omitempty"`
	Customer  licensing.CustomerID  `json:"customer,omitempty"`
	ExpiresAt time.Time             `json:"expires_at,omitzero"`
	Spans     bool                  `json:"spans,omitempty" doc:"It reaches every environment."`
}

// A NewToken is a token with its text, which nobody can see again.
type NewToken struct {
	Token
	Text string `json:"secret"`
}
