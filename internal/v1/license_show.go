package v1

import "copyhold.dev/internal/licensing"

// A ListedLicense is a license beside its customer's name.
type ListedLicense struct {
	License
	CustomerName string `json:"customer_name,omitempty"`
}

// A ShownLicense is a license and what it comes to now.
type ShownLicense struct {
	ListedLicense
	Effective *licensing.Effective `json:"effective,omitempty" doc:"Absent where the license does not fit its plan."`
}

// A LicenseName is what people know a license by, beside its id in lists of other things.
type LicenseName struct {
	Product      licensing.ProductName `json:"product,omitempty"`
	Plan         licensing.PlanName    `json:"plan,omitempty"`
	Customer     licensing.CustomerID  `json:"customer,omitempty"`
	CustomerName string                `json:"customer_name,omitempty"`
}
