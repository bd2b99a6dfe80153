package documents

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// PublishedBy returns the environment that an issuer's URI or a name means.
// Without either it is production, or the only one there is.
func (docs *Documents) PublishedBy(issuer string, name licensing.Env) (licensing.Env, error) {
	envs := docs.ledger.Ring.Envs()
	for _, env := range envs {
		if issuer != "" && docs.ledger.Ring.Issuer(env) == issuer || issuer == "" && env == name {
			return env, nil
		}
	}
	switch {
	case issuer != "":
		return "", licensing.Errorf(licensing.NotFound, "there is no such issuer here")
	case name != "":
		return "", licensing.Errorf(licensing.NotFound, "there is no such environment")
	case len(envs) == 1:
		return envs[0], nil
	}
	return docs.PublishedBy("", licensing.Env(licensing.Production))
}

// KeySet returns the key set in force: compact JWS over one payload.
func (docs *Documents) KeySet(env licensing.Env) []string { return docs.ledger.Ring.KeySet(env) }

// RootSet returns the root set in force: compact JWS over one payload.
func (docs *Documents) RootSet(env licensing.Env) []string { return docs.ledger.Ring.RootSet(env) }

// JWKS returns the public keys of the environment's documents for libraries
// that know nothing of key sets.
func (docs *Documents) JWKS(env licensing.Env) []license.Key { return docs.ledger.Ring.JWKS(env) }

// OwnLicense returns the signed document of the license that p showed a key of,
// bound to nobody.
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
