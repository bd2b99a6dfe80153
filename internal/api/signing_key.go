package api

import (
	"context"
	"encoding/json"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	v1 "copyhold.dev/internal/v1"
)

// FeaturePath identifies a feature of a product.
type FeaturePath struct {
	Product licensing.ProductName `path:"product" maxLength:"64"`
	Feature string                `path:"feature" maxLength:"64"`
}

func (s *server) signingKeyRoutes() {
	const tag, path = "signing-key", "/v1/signing-keys"
	handle(s, route{ID: "list-signing-keys", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.SigningKeyRead,
		Summary: "List the environment's keys in the order in which they sign"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.List[v1.SigningKey]], error) {
			all, err := s.Authority.SigningKeys(ctx, p)
			return answered(v1.List[v1.SigningKey]{Items: all}, err)
		})
	handle(s, route{ID: "rotate-signing-key", Method: http.MethodPost, Path: path + "/rotate", Tag: tag, Permission: access.SigningKeyWrite,
		Summary: "Make the next prepared key sign from now on", Description: "Signed documents stay valid. No root key is needed as long as a prepared key remains."},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.SigningKey], error) {
			return answered(s.Authority.RotateSigningKey(ctx, p))
		})
	handle(s, route{ID: "withdraw-signing-key", Method: http.MethodPost, Path: path + "/{kid}/withdraw", Tag: tag, Permission: access.SigningKeyWrite,
		Summary: "Withdraw a compromised key", Description: "Requires the root key."},
		func(ctx context.Context, p access.Principal, in *struct {
			Kid  string `path:"kid" maxLength:"64"`
			Body v1.WithdrawRequest
		}) (*reply[v1.SigningKey], error) {
			return answered(s.Authority.WithdrawSigningKey(ctx, p, in.Kid, in.Body.Cutoff, in.Body.Reason))
		})
	handle(s, route{ID: "feature-key", Method: http.MethodPost, Path: "/v1/products/{product}/features/{feature}/key", Tag: tag, Permission: access.ProductWrite,
		Summary: "Get the public key to which the data of a feature is sealed", Description: "The first request creates the key."},
		func(ctx context.Context, p access.Principal, in *FeaturePath) (*reply[v1.FeatureKeyAnswer], error) {
			public, err := s.Authority.FeatureKey(ctx, p, in.Product, in.Feature)
			return answered(v1.FeatureKeyAnswer{Public: public}, err)
		})
	s.rootRoutes()
	s.rootSetRoutes()
}

func (s *server) rootRoutes() {
	const tag, path = "signing-key", "/v1/signing-keys/root"
	handle(s, route{ID: "export-root", Method: http.MethodPost, Path: path + "/export", Tag: tag, Permission: access.RootWrite,
		Summary: "Export the private parts of the root keys for safekeeping", Description: "Anyone who has them can sign licenses forever."},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.RootKeys], error) {
			root, err := s.Authority.ExportRoot(ctx, p)
			if err != nil {
				return nil, err
			}
			return decoded[v1.RootKeys](root)
		})
	handle(s, route{ID: "remove-root", Method: http.MethodPost, Path: path + "/remove", Tag: tag, Permission: access.RootWrite,
		Summary: "Destroy the private parts of the root keys on this server after they were exported"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*nothing, error) {
			return done(s.Authority.RemoveRoot(ctx, p))
		})
	handle(s, route{ID: "import-root", Method: http.MethodPost, Path: path + "/import", Tag: tag, Permission: access.RootWrite,
		Summary: "Import exported private parts of the root keys, for a ceremony"},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.RootKeys }) (*nothing, error) {
			text, err := encoded(in.Body)
			if err != nil {
				return nil, err
			}
			return done(s.Authority.ImportRoot(ctx, p, text))
		})
}

// rootSetRoutes registers the first and the last step of a new root set. The steps
// in between need no server.
func (s *server) rootSetRoutes() {
	const tag, path = "signing-key", "/v1/signing-keys/root"
	handle(s, route{ID: "propose-root-set", Method: http.MethodPost, Path: path + "/new", Tag: tag, Permission: access.RootWrite,
		Summary:     "Start a new root set with two years of new signing keys",
		Description: "The answer is a file for creating root keys and signing offline. Earlier proposals can no longer be installed."},
		func(ctx context.Context, p access.Principal, in *struct{ Body signing.RootChoice }) (*reply[signing.RootCeremony], error) {
			return answered(s.Authority.ProposeRootSet(ctx, p, in.Body))
		})
	handle(s, route{ID: "install-root-set", Method: http.MethodPost, Path: path + "/install", Tag: tag, Permission: access.RootWrite,
		Summary:     "Install a new root set that is signed by enough of the previous and of its own root keys",
		Description: "Programs that trust the previous root set adopt the new one automatically."},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.RootSetRequest }) (*reply[v1.InstalledRootSet], error) {
			return answered(s.Authority.InstallRootSet(ctx, p, in.Body.RootSet, in.Body.KeySet))
		})
}

// decoded returns a secret's JSON as the body of an answer.
func decoded[T any](secret signing.Secret) (*reply[T], error) {
	var body T
	err := json.Unmarshal([]byte(secret.Reveal()), &body)
	return answered(body, err)
}

// encoded returns the body of a request as a secret.
func encoded(body any) (signing.Secret, error) {
	text, err := json.Marshal(body)
	return signing.NewSecret(string(text)), err
}
