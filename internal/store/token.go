package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Token is the row of a token. Digest is the SHA-256 of its text, in
// hexadecimal; the text itself is nowhere.
type Token struct {
	Env       licensing.Env // "all" for one that spans environments
	ID        licensing.TokenID
	Digest    string
	Name      string
	Role      string
	Product   licensing.ProductName
	Customer  licensing.CustomerID
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	UsedAt    time.Time // zero: never
}

const tokenColumns = `env, id, digest, name, role, product, customer, created_by, created_at, expires_at, used_at`

// InsertToken stores t, whose id is new.
func (tx *Tx) InsertToken(ctx context.Context, t Token) error {
	_, err := tx.exec(ctx, `
		INSERT INTO token (`+tokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.Env, t.ID, t.Digest, t.Name, t.Role, t.Product, t.Customer, t.CreatedBy,
		micros(t.CreatedAt), micros(t.ExpiresAt), micros(t.UsedAt))
	return err
}

// UseToken notes that a token was used at at.
func (tx *Tx) UseToken(ctx context.Context, env licensing.Env, id licensing.TokenID, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE token SET used_at = $3 WHERE env = $1 AND id = $2 AND used_at < $3`, env, id, micros(at))
	return err
}

// DeleteToken removes a token and reports whether it existed.
func (tx *Tx) DeleteToken(ctx context.Context, env licensing.Env, id licensing.TokenID) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM token WHERE env = $1 AND id = $2`, env, id)
	return n == 1, err
}

// A TokenFilter says which tokens to list: those of Env, and of Also when it is
// not empty; with Product or Customer only those limited to them.
type TokenFilter struct {
	Env      licensing.Env
	Also     licensing.Env
	Product  licensing.ProductName
	Customer licensing.CustomerID
}

// Tokens returns up to limit tokens whose id comes after after, by id.
func (tx *Tx) Tokens(ctx context.Context, f TokenFilter, after string, limit int) ([]Token, error) {
	rows, err := tx.query(ctx, `
		SELECT `+tokenColumns+` FROM token
		WHERE env IN ($1, $2) AND ($3 = '' OR product = $3) AND ($4 = '' OR customer = $4) AND id > $5
		ORDER BY id LIMIT $6`, f.Env, f.Also, f.Product, f.Customer, after, limit)
	return collect(rows, err, scanToken)
}

// Token returns the token with id in env, and whether there is one.
func (tx *Tx) Token(ctx context.Context, env licensing.Env, id licensing.TokenID) (Token, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+tokenColumns+` FROM token WHERE env = $1 AND id = $2`, env, id)
	return only(collect(rows, err, scanToken))
}

func scanToken(r Row) (t Token, err error) {
	var created, expires, used int64
	err = r.Scan(&t.Env, &t.ID, &t.Digest, &t.Name, &t.Role, &t.Product, &t.Customer, &t.CreatedBy,
		&created, &expires, &used)
	t.CreatedAt, t.ExpiresAt, t.UsedAt = instant(created), instant(expires), instant(used)
	return t, err
}
