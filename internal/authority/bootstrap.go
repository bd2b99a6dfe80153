package authority

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/credentials"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// FirstEnvironments returns the environments of a new deployment.
func FirstEnvironments() []licensing.Environment {
	return []licensing.Environment{
		{Name: "production", Kind: licensing.Production},
		{Name: "staging", Kind: licensing.Staging},
		{Name: "development", Kind: licensing.Development},
	}
}

// Bootstrap makes an empty deployment usable. It creates the given environments, their signing keys
// and one token with the role owner for all of them. It passes the token's text to keep before it
// commits anything. A deployment that already has environments does not change. Bootstrap reports
// whether it changed anything. Call it after Start.
func (a *Authority) Bootstrap(ctx context.Context, environments []licensing.Environment, keep func(token string) error) (bool, error) {
	if len(environments) == 0 {
		return false, licensing.Errorf(licensing.Invalid, "the deployment needs at least one environment")
	}
	p := access.System(environments[0].Name, "bootstrap")
	did := false
	err := a.ledger.Update(ctx, "", p.Actor, func(tx *ledger.Tx) error {
		there, err := tx.Environments(ctx)
		if did = len(there) == 0; err != nil || !did {
			return err
		}
		for _, e := range environments {
			if err := e.Check(); err != nil {
				return err
			}
			if _, err := a.AddEnvironment(ctx, tx, e); err != nil {
				return err
			}
		}
		created, err := credentials.CreateToken(ctx, tx, p, v1.TokenRequest{Name: "first owner", Role: access.Owner, Spans: true})
		if err != nil {
			return err
		}
		return keep(created.Text)
	})
	if err != nil || !did {
		return false, err
	}
	return true, a.ledger.LoadKeys(ctx)
}

// TokenFile returns a keep function for Bootstrap. The function writes the token to a file that
// only its owner can read, and replaces a file that an earlier deployment left.
func TokenFile(path string) func(token string) error {
	return func(token string) error {
		f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
		if err != nil {
			return fmt.Errorf("writing the owner's token: %w", err)
		}
		defer os.Remove(f.Name())
		_, err = f.WriteString(token + "\n")
		if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			return fmt.Errorf("writing the owner's token: %w", err)
		}
		return nil
	}
}
