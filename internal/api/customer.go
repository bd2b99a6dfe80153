package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// CustomerPath identifies a customer.
type CustomerPath struct {
	ID licensing.CustomerID `path:"id" maxLength:"64"`
}

func (s *server) customerRoutes() {
	const tag, path = "customer", "/v1/customers"
	handle(s, route{ID: "list-customers", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.CustomerRead, Summary: "List customers"},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			Reference string `query:"reference" maxLength:"200" doc:"Only the customer with this reference"`
		}) (*reply[v1.List[licensing.Customer]], error) {
			return listed(s.Authority.Customers(ctx, p, in.Reference, in.page()))
		})
	handle(s, route{ID: "get-customer", Method: http.MethodGet, Path: path + "/{id}", Tag: tag, Permission: access.CustomerRead, Summary: "Show a customer"},
		func(ctx context.Context, p access.Principal, in *CustomerPath) (*reply[licensing.Customer], error) {
			return answered(s.Authority.Customer(ctx, p, in.ID))
		})
	write(s, route{ID: "create-customer", Method: http.MethodPost, Path: path, Tag: tag, Permission: access.CustomerWrite, Status: http.StatusCreated, Summary: "Create a customer"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.CustomerBody
		}) (*reply[licensing.Customer], error) {
			return answered(s.Authority.CreateCustomer(ctx, p, licensing.Customer{
				Name: in.Body.Name, Email: in.Body.Email, Reference: in.Body.Reference, Metadata: in.Body.Metadata,
			}))
		})
	write(s, route{ID: "change-customer", Method: http.MethodPatch, Path: path + "/{id}", Tag: tag, Permission: access.CustomerWrite, Summary: "Change a customer's data"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			CustomerPath
			Body v1.CustomerChange
		}) (*reply[licensing.Customer], error) {
			return answered(s.Authority.ChangeCustomer(ctx, p, in.ID, in.Body))
		})
	handle(s, route{ID: "delete-customer", Method: http.MethodDelete, Path: path + "/{id}", Tag: tag, Permission: access.CustomerWrite, Summary: "Delete a customer who has no license"},
		func(ctx context.Context, p access.Principal, in *CustomerPath) (*nothing, error) {
			return done(s.Authority.DeleteCustomer(ctx, p, in.ID))
		})
}
