package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Token is the row of a token. Digest is the hexadecimal SHA-256 of the token's text. The text
// itself is not stored.
type Token struct {
	Env       licensing.Env // "all" for a token that spans environments
	ID        licensing.TokenID
	Digest    string
	Name      string
	Role      string
	Product   licensing.ProductName
	Customer  licensing.CustomerID
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time // zero means never
	UsedAt    time.Time // zero means never
}

const tokenColumns = `env, id, digest, name, role, product, customer, created_by, created_at, expires_at, used_at`

// InsertToken stores t. Its id must be new.
func (tx *Tx) InsertToken(ctx context.Context, t Token) error {
	_, err := tx.exec(ctx, `
		INSERT INTO token (`+tokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.Env, t.ID, t.Digest, t.Name, t.Role, t.Product, t.Customer, t.CreatedBy,
		micros(t.CreatedAt), micros(t.ExpiresAt), micros(t.UsedAt))
	return err
}

// UseToken records when a token was used.
func (tx *Tx) UseToken(ctx context.Context, env licensing.Env, id licensing.TokenID, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE token SET used_at = $3 WHERE env = $1 AND id = $2 AND used_at < $3`, env, id, micros(at))
	return err
}

// DeleteToken removes a token and reports whether it existed.
func (tx *Tx) DeleteToken(ctx context.Context, env licensing.Env, id licensing.TokenID) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM token WHERE env = $1 AND id = $2`, env, id)
	return n == 1, err
}

// A TokenFilter selects tokens: those of Env and, if it is not empty, of Also. Product and
// Customer, if set, select only tokens limited to them.
type TokenFilter struct {
	Env      licensing.Env
	Also     licensing.Env
	Product  licensing.ProductName
	Customer licensing.CustomerID
}

// Tokens returns up to limit tokens with ids after the given one, sorted by id.
func (tx *Tx) Tokens(ctx context.Context, f TokenFilter, after string, limit int) ([]Token, error) {
	rows, err := tx.query(ctx, `
		SELECT `+tokenColumns+` FROM token
		WHERE env IN ($1, $2) AND ($3 = '' OR product = $3) AND ($4 = '' OR customer = $4) AND id > $5
		ORDER BY id LIMIT $6`, f.Env, f.Also, f.Product, f.Customer, after, limit)
	return collect(rows, err, scanToken)
}

// Token returns the token with the given id in env, and whether it exists.
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
