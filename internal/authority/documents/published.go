package documents

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// PublishedBy returns the environment with the given issuer URI or name. If both are empty, it
// returns production, or the only environment.
func (docs *Documents) PublishedBy(issuer string, name licensing.Env) (licensing.Env, error) {
	envs := docs.ledger.Ring.Envs()
	for _, env := range envs {
		if issuer != "" && docs.ledger.Ring.Issuer(env) == issuer || issuer == "" && env == name {
			return env, nil
		}
	}
	switch {
	case issuer != "":
		return "", licensing.Errorf(licensing.NotFound, "the issuer does not exist on this server")
	case name != "":
		return "", licensing.Errorf(licensing.NotFound, "the environment does not exist")
	case len(envs) == 1:
		return envs[0], nil
	}
	return docs.PublishedBy("", licensing.Env(licensing.Production))
}

// KeySet returns the key set in force, as compact JWS over one payload.
func (docs *Documents) KeySet(env licensing.Env) []string { return docs.ledger.Ring.KeySet(env) }

// RootSet returns the root set in force, as compact JWS over one payload.
func (docs *Documents) RootSet(env licensing.Env) []string { return docs.ledger.Ring.RootSet(env) }

// JWKS returns the public keys that sign the environment's documents, for libraries that do not
// understand key sets.
func (docs *Documents) JWKS(env licensing.Env) []license.Key { return docs.ledger.Ring.JWKS(env) }

// OwnLicense returns the signed document of the license whose key p presented, not bound to any
// holder.
func (docs *Documents) OwnLicense(ctx context.Context, p access.Principal) (string, error) {
	now := docs.ledger.DB.Latest()
	f, err := docs.inForce(ctx, p.Env, p.License, now)
	if err != nil {
		return "", err
	}
	doc, err := docs.document(f, variant{}, nil, now)
	if err != nil {
		return "", err
	}
	return doc.compact, nil
}
