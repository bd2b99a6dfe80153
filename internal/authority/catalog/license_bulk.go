package catalog

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Selection returns the filter of the licenses that match f and that p may see, with the complete
// name of its revision. The error is NotFound if f names something outside p's scope.
func Selection(ctx context.Context, tx *store.Tx, p access.Principal, f LicenseFilter) (store.LicenseFilter, error) {
	scope, possible := Scoped(p, f.stored())
	switch {
	case possible:
		return grantedBy(ctx, tx, p, scope)
	case f.Product != "" && !p.SeesProduct(f.Product):
		return scope, request.NotFound("product", f.Product)
	}
	return scope, request.NotFound("customer", f.Customer)
}

// Matches returns an error unless a license matches f.
func Matches(ctx context.Context, tx *store.Tx, env licensing.Env, id licensing.LicenseID, f store.LicenseFilter) error {
	f.ID = id
	found, err := tx.Licenses(ctx, env, f, "", 1)
	if err == nil && len(found) == 0 {
		err = licensing.Errorf(licensing.Conflict, "license %s no longer matches the filter and was not changed", id)
	}
	return err
}
