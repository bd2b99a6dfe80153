package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Key is the row of a license key. Digest is the hexadecimal SHA-256 of the key's text. Hint is
// the part of the text that may be shown.
type Key struct {
	Env       licensing.Env
	License   licensing.LicenseID
	ID        licensing.KeyID
	Digest    string
	Hint      string
	Imported  bool
	CreatedAt time.Time
	ExpiresAt time.Time // zero means as long as its license
}

const keyColumns = `env, license, id, digest, hint, imported, created_at, expires_at`

// InsertKey stores k and reports whether the key was new in its environment.
func (tx *Tx) InsertKey(ctx context.Context, k Key) (bool, error) {
	n, err := tx.exec(ctx, `
		INSERT INTO license_key (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT DO NOTHING`,
		k.Env, k.License, k.ID, k.Digest, k.Hint, flag(k.Imported), micros(k.CreatedAt), micros(k.ExpiresAt))
	return n == 1, err
}

// EndKeys ends every key of a license except one at the given time, unless the key ends sooner.
func (tx *Tx) EndKeys(ctx context.Context, env licensing.Env, license licensing.LicenseID, except licensing.KeyID, at time.Time) error {
	_, err := tx.exec(ctx, `
		UPDATE license_key SET expires_at = $4
		WHERE env = $1 AND license = $2 AND id <> $3 AND (expires_at = 0 OR expires_at > $4)`,
		env, license, except, micros(at))
	return err
}

// DeleteKey removes a key of a license and reports whether it existed.
func (tx *Tx) DeleteKey(ctx context.Context, env licensing.Env, license licensing.LicenseID, id licensing.KeyID) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM license_key WHERE env = $1 AND license = $2 AND id = $3`, env, license, id)
	return n == 1, err
}

// Keys returns the keys of a license, oldest first.
func (tx *Tx) Keys(ctx context.Context, env licensing.Env, license licensing.LicenseID) ([]Key, error) {
	rows, err := tx.query(ctx, `
		SELECT `+keyColumns+` FROM license_key WHERE env = $1 AND license = $2 ORDER BY created_at, id`, env, license)
	return collect(rows, err, scanKey)
}

// A KeysMark changes whenever the keys of a license change.
type KeysMark struct{ keys, created, expires int64 }

var keysMarks = newMultirow(`SELECT k.env, k.license, COUNT(*), MAX(k.created_at), CAST(SUM(k.expires_at) AS BIGINT) FROM (VALUES `, 2, "tt", `) v
	CROSS JOIN license_key k WHERE k.env = v.column1 AND k.license = v.column2 GROUP BY k.env, k.license`)

// KeysMarks returns the marks of the licenses. A license without keys has a zero mark.
func (tx *Tx) KeysMarks(ctx context.Context, keys []LicenseRef) (map[LicenseRef]KeysMark, error) {
	marks := make(map[LicenseRef]KeysMark, len(keys))
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		marks[k] = KeysMark{}
		args = append(args, string(k.Env), string(k.ID))
	}
	err := tx.queryMany(ctx, &keysMarks, args, func(r Row) error {
		var k LicenseRef
		var m KeysMark
		err := r.Scan(&k.Env, &k.ID, &m.keys, &m.created, &m.expires)
		marks[k] = m
		return err
	})
	return marks, err
}

// KeysByDigest returns the keys with the given digest, at most one per environment.
func (tx *Tx) KeysByDigest(ctx context.Context, digest string) ([]Key, error) {
	rows, err := tx.query(ctx, `SELECT `+keyColumns+` FROM license_key WHERE digest = $1 ORDER BY env`, digest)
	return collect(rows, err, scanKey)
}

// KeysByID returns the keys with the given id in an environment, of any license.
func (tx *Tx) KeysByID(ctx context.Context, env licensing.Env, id licensing.KeyID) ([]Key, error) {
	rows, err := tx.query(ctx, `SELECT `+keyColumns+` FROM license_key WHERE env = $1 AND id = $2 ORDER BY license`, env, id)
	return collect(rows, err, scanKey)
}

// EachKey calls fn for every key of an environment. fn must not use tx.
func (tx *Tx) EachKey(ctx context.Context, env licensing.Env, fn func(Key)) error {
	rows, err := tx.query(ctx, `SELECT `+keyColumns+` FROM license_key WHERE env = $1`, env)
	if err != nil {
		return err
	}
	return each(rows, func(r Row) error {
		k, err := scanKey(r)
		fn(k)
		return err
	})
}

func scanKey(r Row) (k Key, err error) {
	var imported, created, expires int64
	err = r.Scan(&k.Env, &k.License, &k.ID, &k.Digest, &k.Hint, &imported, &created, &expires)
	k.Imported, k.CreatedAt, k.ExpiresAt = imported != 0, instant(created), instant(expires)
	return k, err
}
