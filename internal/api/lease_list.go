package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// leaseListRoutes registers lists of leases and usage for administrators.
func (s *server) leaseListRoutes() {
	handle(s, route{ID: "list-leases", Method: http.MethodGet, Path: "/v1/leases", Tag: "lease", Permission: access.LeaseRead,
		Summary: "List leases and their holders", Description: "Leases in force, oldest first."},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			License  licensing.LicenseID   `query:"license" maxLength:"64"`
			Customer licensing.CustomerID  `query:"customer" maxLength:"64"`
			Product  licensing.ProductName `query:"product" maxLength:"64"`
			Pool     string                `query:"pool" maxLength:"128"`
			Holder   string                `query:"holder" maxLength:"321" doc:"The id of a holder, or KIND:ID."`
		}) (*reply[v1.List[v1.HeldLease]], error) {
			return listed(s.Authority.Leases(ctx, p, authority.LeaseFilter{
				License: in.License, Customer: in.Customer, Product: in.Product, Pool: in.Pool, Holder: in.Holder,
			}, in.page()))
		})
	handle(s, route{ID: "list-usage", Method: http.MethodGet, Path: "/v1/usage", Tag: "usage", Permission: access.UsageRead,
		Summary: "List the usage of meters", Description: "The current periods, or with `past` all that are stored."},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			License  licensing.LicenseID  `query:"license" maxLength:"64"`
			Customer licensing.CustomerID `query:"customer" maxLength:"64"`
			Meter    string               `query:"meter" maxLength:"128"`
			Past     bool                 `query:"past"`
		}) (*reply[v1.List[v1.UsedMeter]], error) {
			return listed(s.Authority.ListUsage(ctx, p, authority.UsageFilter{
				License: in.License, Customer: in.Customer, Meter: in.Meter, Past: in.Past,
			}, in.page()))
		})
}
