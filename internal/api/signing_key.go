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

// FeaturePath names a feature of a product.
type FeaturePath struct {
	Product licensing.ProductName `path:"product" maxLength:"64"`
	Feature string                `path:"feature" maxLength:"64"`
}

func (s *server) signingKeyRoutes() {
	const tag, path = "signing-key", "/v1/signing-keys"
	handle(s, route{ID: "list-signing-keys", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.SigningKeyRead,
		Summary: "List the environment's keys, in the order of their turns"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.List[v1.SigningKey]], error) {
			all, err := s.Authority.SigningKeys(ctx, p)
			return answered(v1.List[v1.SigningKey]{Items: all}, err)
		})
	handle(s, route{ID: "rotate-signing-key", Method: http.MethodPost, Path: path + "/rotate", Tag: tag, Permission: access.SigningKeyWrite,
		Summary: "Let the next prepared key sign from now on", Description: "What was signed stays good. It needs no root as long as a prepared key is left."},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.SigningKey], error) {
			return answered(s.Authority.RotateSigningKey(ctx, p))
		})
	handle(s, route{ID: "withdraw-signing-key", Method: http.MethodPost, Path: path + "/{kid}/withdraw", Tag: tag, Permission: access.SigningKeyWrite,
		Summary: "Say that a key is known to others", Description: "It needs the root."},
		func(ctx context.Context, p access.Principal, in *struct {
			Kid  string `path:"kid" maxLength:"64"`
			Body v1.WithdrawRequest
		}) (*reply[v1.SigningKey], error) {
			return answered(s.Authority.WithdrawSigningKey(ctx, p, in.Kid, in.Body.Cutoff, in.Body.Reason))
		})
	handle(s, route{ID: "feature-key", Method: http.MethodPost, Path: "/v1/products/{product}/features/{feature}/key", Tag: tag, Permission: access.ProductWrite,
		Summary: "The public key that data of a feature is sealed to", Description: "It is made when it is asked for the first time."},
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
		Summary: "The private parts of the roots, for safe-keeping", Description: "Whoever has them can sign licenses for ever."},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.RootKeys], error) {
			root, err := s.Authority.ExportRoot(ctx, p)
			if err != nil {
				return nil, err
			}
			return decoded[v1.RootKeys](root)
		})
	handle(s, route{ID: "remove-root", Method: http.MethodPost, Path: path + "/remove", Tag: tag, Permission: access.RootWrite,
		Summary: "Destroy the private parts of the roots here, once they were exported"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*nothing, error) {
			return done(s.Authority.RemoveRoot(ctx, p))
		})
	handle(s, route{ID: "import-root", Method: http.MethodPost, Path: path + "/import", Tag: tag, Permission: access.RootWrite,
		Summary: "Put exported private parts of the roots back, for a ceremony"},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.RootKeys }) (*nothing, error) {
			text, err := encoded(in.Body)
			if err != nil {
				return nil, err
			}
			return done(s.Authority.ImportRoot(ctx, p, text))
		})
}

// rootSetRoutes are the first and the last step of a new root set; those
// between need no server.
func (s *server) rootSetRoutes() {
	const tag, path = "signing-key", "/v1/signing-keys/root"
	handle(s, route{ID: "propose-root-set", Method: http.MethodPost, Path: path + "/new", Tag: tag, Permission: access.RootWrite,
		Summary:     "Begin a new root set, with two years of new signing keys",
		Description: "The answer is a file to make roots for and to sign offline. A proposal before it cannot be installed any more."},
		func(ctx context.Context, p access.Principal, in *struct{ Body signing.RootChoice }) (*reply[signing.RootCeremony], error) {
			return answered(s.Authority.ProposeRootSet(ctx, p, in.Body))
		})
	handle(s, route{ID: "install-root-set", Method: http.MethodPost, Path: path + "/install", Tag: tag, Permission: access.RootWrite,
		Summary:     "Take a new root set into force, signed by enough of the roots before and of its own",
		Description: "Programs that trust the root set before follow by themselves."},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.RootSetRequest }) (*reply[v1.InstalledRootSet], error) {
			return answered(s.Authority.InstallRootSet(ctx, p, in.Body.RootSet, in.Body.KeySet))
		})
}

// decoded is a secret's JSON as the body of an answer.
func decoded[T any](secret signing.Secret) (*reply[T], error) {
	var body T
	err := json.Unmarshal([]byte(secret.Reveal()), &body)
	return answered(body, err)
}

// encoded is the body of a request as a secret.
func encoded(body any) (signing.Secret, error) {
	text, err := json.Marshal(body)
	return signing.NewSecret(string(text)), err
}
