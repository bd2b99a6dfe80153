package store

import (
	"context"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A LicenseRef identifies a license.
type LicenseRef struct {
	Env licensing.Env
	ID  licensing.LicenseID
}

var licenseSeqs = newLocking(`SELECT l.env, l.id, l.epoch, l.counter FROM (VALUES `, 2, "tt", `) v
	CROSS JOIN license l WHERE l.env = v.column1 AND l.id = v.column2`, " FOR KEY SHARE OF l")

// LicenseSeqs returns the seq of each existing license. In a write transaction, no other
// transaction can change these licenses until the commit.
func (tx *Tx) LicenseSeqs(ctx context.Context, keys []LicenseRef) (map[LicenseRef]license.Seq, error) {
	seqs := make(map[LicenseRef]license.Seq, len(keys))
	if err := tx.AskLicenseSeqs(ctx, keys, seqs); err != nil {
		return nil, err
	}
	return seqs, tx.flush(ctx)
}

// AskLicenseSeqs is LicenseSeqs, but the result is in seqs after Flush.
func (tx *Tx) AskLicenseSeqs(ctx context.Context, keys []LicenseRef, seqs map[LicenseRef]license.Seq) error {
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.ID))
	}
	return tx.askMany(ctx, &licenseSeqs, args, func(r Row) error {
		var k LicenseRef
		var seq license.Seq
		err := r.Scan(&k.Env, &k.ID, &seq.Epoch, &seq.Counter)
		seqs[k] = seq
		return err
	})
}
