package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// licenseKeyRoutes registers the operations on the keys of a license.
func (s *server) licenseKeyRoutes() {
	const path = licensesPath + "/{id}/keys"
	handle(s, route{ID: "list-license-keys", Method: http.MethodGet, Path: path, Tag: licenseTag, Permission: access.LicenseRead, Summary: "List the keys of a license; their text is not stored"},
		func(ctx context.Context, p access.Principal, in *LicensePath) (*reply[v1.List[v1.Credential]], error) {
			keys, err := s.Authority.Keys(ctx, p, in.ID)
			return answered(v1.List[v1.Credential]{Items: append([]v1.Credential{}, keys...)}, err)
		})
	write(s, route{ID: "rotate-license-key", Method: http.MethodPost, Path: path, Tag: licenseTag, Permission: access.LicenseKeyWrite, Status: http.StatusCreated,
		Summary: "Give a license a new key; its other keys end after the overlap", Description: "Only this answer contains the key."},
		func(ctx context.Context, p access.Principal, in *licenseWrite[v1.KeyRequest]) (*reply[v1.NewCredential], error) {
			return answered(s.Authority.RotateKey(ctx, p, in.ID, in.Body))
		})
	handle(s, route{ID: "delete-license-key", Method: http.MethodDelete, Path: path + "/{key}", Tag: licenseTag, Permission: access.LicenseKeyWrite, Summary: "End one key of a license immediately"},
		func(ctx context.Context, p access.Principal, in *struct {
			LicensePath
			Key licensing.KeyID `path:"key" maxLength:"64"`
		}) (*nothing, error) {
			return done(s.Authority.DeleteKey(ctx, p, in.ID, in.Key))
		})
}
