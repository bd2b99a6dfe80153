package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Deployment is one organization's set of environments in one database.
type Deployment struct {
	ID        string
	Epoch     int64 // the generation of the data, starting at 1
	CreatedAt time.Time
	PacksFrom time.Time // when servers begin to pack log rows; zero if no program that can read them has started
}

// Deployment returns the database's deployment, or false before its first start.
func (tx *Tx) Deployment(ctx context.Context) (d Deployment, ok bool, err error) {
	var at, packs int64
	ok, err = tx.row(ctx, `SELECT id, epoch, created_at, packs_from FROM deployment WHERE env = ''`, nil, &d.ID, &d.Epoch, &at, &packs)
	d.CreatedAt, d.PacksFrom = instant(at), instant(packs)
	return d, ok, err
}

// CreateDeployment stores d unless a deployment exists, and returns the one that is stored.
func (tx *Tx) CreateDeployment(ctx context.Context, d Deployment) (Deployment, error) {
	_, err := tx.exec(ctx, `
		INSERT INTO deployment (env, id, epoch, created_at, packs_from) VALUES ('', $1, $2, $3, $4)
		ON CONFLICT (env) DO NOTHING`, d.ID, d.Epoch, micros(d.CreatedAt), micros(d.PacksFrom))
	if err != nil {
		return Deployment{}, err
	}
	d, _, err = tx.Deployment(ctx)
	return d, err
}

// SetPacksFrom stores when servers begin to pack log rows, unless another server has stored it.
func (tx *Tx) SetPacksFrom(ctx context.Context, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE deployment SET packs_from = $1 WHERE env = '' AND packs_from = 0`, micros(at))
	return err
}

// SetEpoch raises the generation. It never lowers it.
func (tx *Tx) SetEpoch(ctx context.Context, epoch int64) error {
	_, err := tx.exec(ctx, `UPDATE deployment SET epoch = $1 WHERE env = '' AND epoch < $1`, epoch)
	return err
}

// HasKeys reports whether an environment has signing keys.
func (tx *Tx) HasKeys(ctx context.Context, env licensing.Env) (bool, error) {
	var one int64
	return tx.row(ctx, `SELECT 1 FROM signing_key WHERE env = $1 LIMIT 1`, []any{env}, &one)
}

// KeyEnvs returns the environments that have signing keys, sorted by name.
func (tx *Tx) KeyEnvs(ctx context.Context) ([]licensing.Env, error) {
	rows, err := tx.query(ctx, `SELECT DISTINCT env FROM signing_key ORDER BY env`)
	if err != nil {
		return nil, err
	}
	var envs []licensing.Env
	return envs, each(rows, func(rows Row) error {
		var e licensing.Env
		err := rows.Scan(&e)
		envs = append(envs, e)
		return err
	})
}

// LockSigningKeys makes other transactions that change an environment's keys wait for this one.
func (tx *Tx) LockSigningKeys(ctx context.Context, env licensing.Env) error {
	rows, err := tx.query(ctx, `SELECT id FROM signing_key WHERE env = $1 ORDER BY id`+tx.ForUpdate(), env)
	if err != nil {
		return err
	}
	return each(rows, func(Row) error { return nil })
}

// SigningKeys returns an environment's keys, sorted by purpose and number.
func (tx *Tx) SigningKeys(ctx context.Context, env licensing.Env) ([]licensing.SigningKey, error) {
	rows, err := tx.query(ctx, `
		SELECT id, purpose, number, public, sealed, sign_from, sign_until, trust_until, retired_at, withdrawn_at, exported_at
		FROM signing_key WHERE env = $1 ORDER BY purpose, number`, env)
	if err != nil {
		return nil, err
	}
	var list []licensing.SigningKey
	return list, each(rows, func(rows Row) error {
		k := licensing.SigningKey{Env: env}
		var from, until, trust, retired, withdrawn, exported int64
		err := rows.Scan(&k.ID, &k.Use, &k.Number, &k.Public, &k.Sealed, &from, &until, &trust, &retired, &withdrawn, &exported)
		k.SignFrom, k.SignUntil, k.TrustUntil = instant(from), instant(until), instant(trust)
		k.RetiredAt, k.WithdrawnAt, k.ExportedAt = instant(retired), instant(withdrawn), instant(exported)
		list = append(list, k)
		return err
	})
}

// PutSigningKey stores a new key, or the mutable fields of an existing one: whether it is still
// proposed, where its private part is, and when it was retired, withdrawn and exported.
func (tx *Tx) PutSigningKey(ctx context.Context, k licensing.SigningKey) error {
	_, err := tx.exec(ctx, `
		INSERT INTO signing_key (env, id, purpose, number, public, sealed, sign_from, sign_until, trust_until, retired_at, withdrawn_at, exported_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (env, id) DO UPDATE SET purpose = excluded.purpose, sealed = excluded.sealed, retired_at = excluded.retired_at,
			withdrawn_at = excluded.withdrawn_at, exported_at = excluded.exported_at`,
		k.Env, k.ID, k.Use, k.Number, k.Public, k.Sealed, micros(k.SignFrom), micros(k.SignUntil), micros(k.TrustUntil),
		micros(k.RetiredAt), micros(k.WithdrawnAt), micros(k.ExportedAt))
	return err
}

// DropProposedKeys deletes the keys that wait for a new root set.
func (tx *Tx) DropProposedKeys(ctx context.Context, env licensing.Env) error {
	_, err := tx.exec(ctx, `DELETE FROM signing_key WHERE env = $1 AND purpose = $2`, env, licensing.ProposedKey)
	return err
}

// SignedSets returns every set of a kind, oldest first. The last one is in force.
func (tx *Tx) SignedSets(ctx context.Context, env licensing.Env, kind licensing.SetKind) ([]licensing.SignedSet, error) {
	rows, err := tx.query(ctx, `SELECT number, expires_at, documents FROM signed_set WHERE env = $1 AND kind = $2 ORDER BY number`, env, kind)
	return collect(rows, err, func(r Row) (licensing.SignedSet, error) {
		s := licensing.SignedSet{Env: env, Kind: kind}
		var expires int64
		var documents string
		if err := r.Scan(&s.Number, &expires, &documents); err != nil {
			return s, err
		}
		s.ExpiresAt = instant(expires)
		if err := json.Unmarshal([]byte(documents), &s.Documents); err != nil {
			return s, fmt.Errorf("reading the %s of %s: %w", kind, env, err)
		}
		return s, nil
	})
}

// SignedSet returns the set in force, or false if there is none.
func (tx *Tx) SignedSet(ctx context.Context, env licensing.Env, kind licensing.SetKind) (s licensing.SignedSet, ok bool, err error) {
	s = licensing.SignedSet{Env: env, Kind: kind}
	var expires int64
	var documents string
	ok, err = tx.row(ctx, `
		SELECT number, expires_at, documents FROM signed_set
		WHERE env = $1 AND kind = $2 ORDER BY number DESC LIMIT 1`, []any{env, kind}, &s.Number, &expires, &documents)
	if err != nil || !ok {
		return s, ok, err
	}
	s.ExpiresAt = instant(expires)
	if err := json.Unmarshal([]byte(documents), &s.Documents); err != nil {
		return s, false, fmt.Errorf("reading the %s of %s: %w", kind, env, err)
	}
	return s, true, nil
}

// PutSignedSet stores a set with a new number.
func (tx *Tx) PutSignedSet(ctx context.Context, s licensing.SignedSet) error {
	documents, err := json.Marshal(s.Documents)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO signed_set (env, kind, number, expires_at, documents) VALUES ($1, $2, $3, $4, $5)`,
		s.Env, s.Kind, s.Number, micros(s.ExpiresAt), string(documents))
	return err
}

// FeatureKey returns the key pair of a feature, or false if it has none.
func (tx *Tx) FeatureKey(ctx context.Context, env licensing.Env, product licensing.ProductName, feature string) (k licensing.FeatureKey, ok bool, err error) {
	k = licensing.FeatureKey{Env: env, Product: product, Feature: feature}
	ok, err = tx.row(ctx, `SELECT public, sealed FROM feature_key WHERE env = $1 AND product = $2 AND feature = $3`,
		[]any{env, product, feature}, &k.Public, &k.Sealed)
	return k, ok, err
}

// FeatureKeys returns the key pairs of a product's features, sorted by feature.
func (tx *Tx) FeatureKeys(ctx context.Context, env licensing.Env, product licensing.ProductName) ([]licensing.FeatureKey, error) {
	rows, err := tx.query(ctx, `SELECT feature, public, sealed FROM feature_key WHERE env = $1 AND product = $2 ORDER BY feature`, env, product)
	return collect(rows, err, func(r Row) (licensing.FeatureKey, error) {
		k := licensing.FeatureKey{Env: env, Product: product}
		err := r.Scan(&k.Feature, &k.Public, &k.Sealed)
		return k, err
	})
}

// CreateFeatureKey stores k unless the feature has a key pair, and returns the stored pair.
func (tx *Tx) CreateFeatureKey(ctx context.Context, k licensing.FeatureKey) (licensing.FeatureKey, error) {
	_, err := tx.exec(ctx, `
		INSERT INTO feature_key (env, product, feature, public, sealed) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, product, feature) DO NOTHING`, k.Env, k.Product, k.Feature, k.Public, k.Sealed)
	if err != nil {
		return k, err
	}
	k, _, err = tx.FeatureKey(ctx, k.Env, k.Product, k.Feature)
	return k, err
}
