package v1

import "copyhold.dev/internal/licensing"

// ProductBody is a request for a product.
type ProductBody struct {
	Name  licensing.ProductName `json:"name" minLength:"1" maxLength:"64"`
	Title string                `json:"title,omitempty" maxLength:"200"`
	Owner licensing.Owner       `json:"owner"`
}

// A ProductChange is what to change about a product. Nil fields stay unchanged.
type ProductChange struct {
	Title *string     `json:"title,omitempty"`
	Owner OwnerChange `json:"owner,omitzero"`
}

// An OwnerChange is what to change about a product's owner. Nil fields stay unchanged.
type OwnerChange struct {
	Team    *string `json:"team,omitempty"`
	Pager   *string `json:"pager,omitempty"`
	Runbook *string `json:"runbook,omitempty"`
}
