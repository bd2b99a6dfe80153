package v1

import "copyhold.dev/internal/licensing"

// ProductBody asks for a product.
type ProductBody struct {
	Name  licensing.ProductName `json:"name" minLength:"1" maxLength:"64"`
	Title string                `json:"title,omitempty" maxLength:"200"`
	Owner licensing.Owner       `json:"owner"`
}

// A ProductChange says what to change of a product; what is nil stays.
type ProductChange struct {
	Title *string     `json:"title,omitempty"`
	Owner OwnerChange `json:"owner,omitzero"`
}

// An OwnerChange says what to change of a product's owner; what is nil stays.
type OwnerChange struct {
	Team    *string `json:"team,omitempty"`
	Pager   *string `json:"pager,omitempty"`
	Runbook *string `json:"runbook,omitempty"`
}
