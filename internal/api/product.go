package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// ProductPath identifies a product.
type ProductPath struct {
	Name licensing.ProductName `path:"name" maxLength:"64"`
}

func (s *server) productRoutes() {
	const tag, path = "product", "/v1/products"
	handle(s, route{ID: "list-products", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.ProductRead, Summary: "List products"},
		func(ctx context.Context, p access.Principal, in *ListQuery) (*reply[v1.List[licensing.Product]], error) {
			return listed(s.Authority.Products(ctx, p, in.page()))
		})
	handle(s, route{ID: "get-product", Method: http.MethodGet, Path: path + "/{name}", Tag: tag, Permission: access.ProductRead, Summary: "Show a product and its owner"},
		func(ctx context.Context, p access.Principal, in *ProductPath) (*reply[licensing.Product], error) {
			return answered(s.Authority.Product(ctx, p, in.Name))
		})
	write(s, route{ID: "create-product", Method: http.MethodPost, Path: path, Tag: tag, Permission: access.ProductWrite, Status: http.StatusCreated, Summary: "Create a product with its owner"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.ProductBody
		}) (*reply[licensing.Product], error) {
			return answered(s.Authority.CreateProduct(ctx, p, licensing.Product{Name: in.Body.Name, Title: in.Body.Title, Owner: in.Body.Owner}))
		})
	write(s, route{ID: "change-product", Method: http.MethodPatch, Path: path + "/{name}", Tag: tag, Permission: access.ProductWrite, Summary: "Change a product's title or owner"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			ProductPath
			Body v1.ProductChange
		}) (*reply[licensing.Product], error) {
			return answered(s.Authority.ChangeProduct(ctx, p, in.Name, in.Body))
		})
	handle(s, route{ID: "delete-product", Method: http.MethodDelete, Path: path + "/{name}", Tag: tag, Permission: access.ProductWrite, Summary: "Delete a product that has no plan"},
		func(ctx context.Context, p access.Principal, in *ProductPath) (*nothing, error) {
			return done(s.Authority.DeleteProduct(ctx, p, in.Name))
		})
}
