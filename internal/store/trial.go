package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Trial records that a customer or a machine has had a product's trial. Claim identifies it: a
// customer by its id, a machine by the id of its first lease or document. Subject is one of the
// attributes by which the claim is recognized.
type Trial struct {
	Env     licensing.Env
	Product licensing.ProductName
	Claim   string
	Subject string
	License licensing.LicenseID
	Taken   time.Time
	Forget  time.Time // zero means as long as the license exists
}

const trialColumns = `t.env, t.product, t.claim, t.subject, t.license, t.taken_at, t.forget_at`

var (
	insertTrials = newMultirow(`INSERT INTO trial (env, product, claim, subject, license, taken_at, forget_at) VALUES `, 7, "", ` ON CONFLICT DO NOTHING`)
	matchTrials  = newMultirow(`SELECT `+trialColumns+` FROM (VALUES `, 3, "ttt", `) v
		CROSS JOIN trial t WHERE t.env = v.column1 AND t.product = v.column2 AND t.subject = v.column3`)
)

func scanTrial(r Row) (t Trial, err error) {
	var taken, forget int64
	err = r.Scan(&t.Env, &t.Product, &t.Claim, &t.Subject, &t.License, &taken, &forget)
	t.Taken, t.Forget = instant(taken), instant(forget)
	return t, err
}

// InsertTrials records trials. Existing records do not change.
func (tx *Tx) InsertTrials(ctx context.Context, trials []Trial) error {
	args := make([]any, 0, 7*len(trials))
	for _, t := range trials {
		args = append(args, string(t.Env), string(t.Product), t.Claim, t.Subject, string(t.License), micros(t.Taken), micros(t.Forget))
	}
	return tx.putMany(ctx, &insertTrials, args)
}

// MatchTrials returns the recorded trials of a product that match any of the subjects.
func (tx *Tx) MatchTrials(ctx context.Context, env licensing.Env, product licensing.ProductName, subjects []string) ([]Trial, error) {
	args := make([]any, 0, 3*len(subjects))
	for _, s := range subjects {
		args = append(args, string(env), string(product), s)
	}
	var found []Trial
	err := tx.queryMany(ctx, &matchTrials, args, func(r Row) error {
		t, err := scanTrial(r)
		found = append(found, t)
		return err
	})
	return found, err
}

// Trials returns all records of one claim, for every product.
func (tx *Tx) Trials(ctx context.Context, env licensing.Env, claim string) ([]Trial, error) {
	rows, err := tx.query(ctx, `SELECT `+trialColumns+` FROM trial t WHERE t.env = $1 AND t.claim = $2 ORDER BY t.product, t.subject`, env, claim)
	return collect(rows, err, scanTrial)
}

// ReplaceTrials replaces all records of one claim with others.
func (tx *Tx) ReplaceTrials(ctx context.Context, env licensing.Env, claim string, others []Trial) error {
	if _, err := tx.exec(ctx, `DELETE FROM trial WHERE env = $1 AND claim = $2`, env, claim); err != nil {
		return err
	}
	return tx.InsertTrials(ctx, others)
}

// ForgetTrials deletes up to limit records that are due for deletion.
func (tx *Tx) ForgetTrials(ctx context.Context, now time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM trial WHERE (env, product, claim, subject) IN (
		SELECT env, product, claim, subject FROM trial WHERE forget_at > 0 AND forget_at <= $1 LIMIT $2)`, micros(now), limit)
}

// LockCustomer makes other transactions that lock the customer wait until the commit.
func (tx *Tx) LockCustomer(ctx context.Context, env licensing.Env, id licensing.CustomerID) error {
	_, err := tx.row(ctx, `SELECT id FROM customer WHERE env = $1 AND id = $2`+tx.ForUpdate(), []any{env, id}, &id)
	return err
}

// LockProduct makes other transactions that lock the product wait until the commit.
func (tx *Tx) LockProduct(ctx context.Context, env licensing.Env, name licensing.ProductName) error {
	_, err := tx.row(ctx, `SELECT name FROM product WHERE env = $1 AND name = $2`+tx.ForUpdate(), []any{env, name}, &name)
	return err
}
