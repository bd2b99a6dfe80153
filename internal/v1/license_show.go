package v1

import "copyhold.dev/internal/licensing"

// A ListedLicense is a license with its customer's name.
type ListedLicense struct {
	License
	CustomerName string `json:"customer_name,omitempty"`
}

// A ShownLicense is a license and its current effect.
type ShownLicense struct {
	ListedLicense
	Effective *licensing.Effective `json:"effective,omitempty" doc:"Absent if the license does not fit its plan."`
}

// A LicenseName is how people know a license. It accompanies the id in lists of other things.
type LicenseName struct {
	Product      licensing.ProductName `json:"product,omitempty"`
	Plan         licensing.PlanName    `json:"plan,omitempty"`
	Customer     licensing.CustomerID  `json:"customer,omitempty"`
	CustomerName string                `json:"customer_name,omitempty"`
}
