package store

import (
	"context"
	"database/sql"
	"iter"
	"math"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// A LogRow is entries of one transaction before they have been placed.
type LogRow struct {
	Env      licensing.Env
	ID       string
	At       time.Time
	Entries  int
	Body     []byte // as package audit encodes it: JSON or packed
	Leaves   []byte // concatenated leaf hashes
	Licenses []licensing.LicenseID
}

// A PendingRow is waiting for its place in the tree.
type PendingRow struct {
	Env      licensing.Env
	ID       string
	Entries  int64 // according to the row; 0 if the row is gone
	Leaves   []byte
	Licenses []string
}

// Damaged reports whether r cannot be placed, because its leaf hashes do not match its entries one
// to one.
func (r PendingRow) Damaged() bool {
	return r.Entries <= 0 || int64(len(r.Leaves)) != r.Entries*hashSize
}

// A PlacedRow is a row with its place. Body is nil if only the place is left.
type PlacedRow struct {
	ID      string
	First   int64 // index of the first entry
	Entries int64
	At      time.Time
	Body    []byte
}

// A LogTile is a stored tile of hashes.
type LogTile struct {
	Level  int
	N      int64
	Hashes []byte
}

// A LogHead is the current signed head.
type LogHead struct {
	Env    licensing.Env
	Size   int64
	Signed string
	At     time.Time
}

// AppendLog stores a transaction's row. A sequencer places it later.
func (tx *Tx) AppendLog(ctx context.Context, r LogRow) error {
	body, packed := bodyColumns(r.Body)
	err := tx.later(ctx, &Statement{Text: `INSERT INTO log_row (env, id, at, entries, body, packed) VALUES ($1, $2, $3, $4, $5, $6)`,
		Args: []any{string(r.Env), r.ID, micros(r.At), int64(r.Entries), body, packed}})
	if err != nil {
		return err
	}
	var names strings.Builder
	for i, l := range r.Licenses {
		if i > 0 {
			names.WriteByte(' ')
		}
		names.WriteString(string(l))
	}
	return tx.later(ctx, &Statement{Text: `INSERT INTO log_pending (env, id, leaves, licenses) VALUES ($1, $2, $3, $4)`,
		Args: []any{string(r.Env), r.ID, r.Leaves, names.String()}})
}

// packedBody is the body of a row whose entries are packed. Programs that cannot read packed rows
// report such a row as unreadable, and not as missing.
const packedBody = "1"

// bodyColumns returns the two columns that store the entries of a row.
func bodyColumns(entries []byte) (body string, packed []byte) {
	if len(entries) == 0 || entries[0] == '[' {
		return string(entries), []byte{}
	}
	return packedBody, entries
}

// entriesIn returns the entries that the two columns store.
func entriesIn(body string, packed []byte) []byte {
	if len(packed) > 0 {
		return packed
	}
	return []byte(body)
}

// PendingEnvs returns the environments that unplaced rows name, whether they exist or not, sorted
// by name. Its cost is one lookup per environment, regardless of the number of rows.
func (tx *Tx) PendingEnvs(ctx context.Context) ([]licensing.Env, error) {
	rows, err := tx.query(ctx, `
		WITH RECURSIVE found (env) AS (
			SELECT MIN(env) FROM log_pending
			UNION ALL
			SELECT (SELECT MIN(env) FROM log_pending WHERE env > found.env) FROM found WHERE found.env IS NOT NULL
		)
		SELECT env FROM found WHERE env IS NOT NULL`)
	return collect(rows, err, scanEnv)
}

// PendingLog returns an environment's unplaced rows, sorted by id.
func (tx *Tx) PendingLog(ctx context.Context, env licensing.Env, limit int) ([]PendingRow, error) {
	rows, err := tx.query(ctx, `
		SELECT p.id, p.leaves, p.licenses, COALESCE(r.entries, 0)
		FROM log_pending p LEFT JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = $1 ORDER BY p.id LIMIT $2`, env, limit)
	return collect(rows, err, func(r Row) (PendingRow, error) {
		p := PendingRow{Env: env}
		var names string
		err := r.Scan(&p.ID, &p.Leaves, &names, &p.Entries)
		p.Licenses = strings.Fields(names)
		return p, err
	})
}

// PendingCount returns the number of unplaced rows.
func (tx *Tx) PendingCount(ctx context.Context, env licensing.Env) (n int64, err error) {
	_, err = tx.row(ctx, `SELECT COUNT(*) FROM log_pending WHERE env = $1`, []any{env}, &n)
	return n, err
}

// LogHead returns the current head, or a zero head if no row has been placed.
func (tx *Tx) LogHead(ctx context.Context, env licensing.Env) (h LogHead, err error) {
	var at int64
	h.Env = env
	_, err = tx.row(ctx, `SELECT size, signed, at FROM log_head WHERE env = $1`, []any{env}, &h.Size, &h.Signed, &at)
	h.At = instant(at)
	return h, err
}

// LogHeads returns the current heads, sorted by environment.
func (tx *Tx) LogHeads(ctx context.Context) ([]LogHead, error) {
	rows, err := tx.query(ctx, `SELECT env, size, signed, at FROM log_head ORDER BY env`)
	if err != nil {
		return nil, err
	}
	var heads []LogHead
	return heads, each(rows, func(rows Row) error {
		var h LogHead
		var at int64
		err := rows.Scan(&h.Env, &h.Size, &h.Signed, &at)
		h.At = instant(at)
		heads = append(heads, h)
		return err
	})
}

// SwapLogHead replaces the head if it has the given size. Otherwise another sequencer was first,
// and it returns false.
func (tx *Tx) SwapLogHead(ctx context.Context, size int64, h LogHead) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE log_head SET size = $1, signed = $2, at = $3 WHERE env = $4 AND size = $5`,
		h.Size, h.Signed, micros(h.At), h.Env, size)
	if err != nil || n > 0 || size > 0 {
		return n > 0, err
	}
	n, err = tx.exec(ctx, `INSERT INTO log_head (env, size, signed, at) VALUES ($1, $2, $3, $4) ON CONFLICT (env) DO NOTHING`,
		h.Env, h.Size, h.Signed, micros(h.At))
	return n > 0, err
}

var (
	placeRows    = newMultirow(`INSERT INTO log_place (env, first, entries, row_id) VALUES `, 4, "", "")
	placeLicense = newMultirow(`INSERT INTO log_license (env, license, first) VALUES `, 3, "", "")
	unpendRows   = newMultirow(`DELETE FROM log_pending WHERE (env, id) IN (VALUES `, 2, "tt", ")")
)

// PlaceLog gives rows, in order, the places from first on.
func (tx *Tx) PlaceLog(ctx context.Context, env licensing.Env, first int64, rows []PendingRow) error {
	var places, licenses, pending []any
	for _, r := range rows {
		entries := int64(len(r.Leaves) / hashSize)
		places = append(places, env, first, entries, r.ID)
		pending = append(pending, env, r.ID)
		for _, l := range r.Licenses {
			licenses = append(licenses, env, l, first)
		}
		first += entries
	}
	if err := tx.putMany(ctx, &placeRows, places); err != nil {
		return err
	}
	if err := tx.putMany(ctx, &placeLicense, licenses); err != nil {
		return err
	}
	return tx.putMany(ctx, &unpendRows, pending)
}

const hashSize = 32

// PutLogTile stores a tile and replaces a shorter version of it.
func (tx *Tx) PutLogTile(ctx context.Context, env licensing.Env, t LogTile) error {
	_, err := tx.exec(ctx, `
		INSERT INTO log_tile (env, level, n, hashes) VALUES ($1, $2, $3, $4)
		ON CONFLICT (env, level, n) DO UPDATE SET hashes = excluded.hashes`,
		env, t.Level, t.N, t.Hashes)
	return err
}

// LogTile returns a tile's hashes, or none if the tile does not exist.
func (tx *Tx) LogTile(ctx context.Context, env licensing.Env, level int, n int64) (hashes []byte, err error) {
	_, err = tx.row(ctx, `SELECT hashes FROM log_tile WHERE env = $1 AND level = $2 AND n = $3`,
		[]any{env, level, n}, &hashes)
	return hashes, err
}

// scanRows is how many rows are read at once.
const scanRows = 128

// LogRows yields all placed rows in the order of the log.
func (tx *Tx) LogRows(ctx context.Context, env licensing.Env) iter.Seq2[PlacedRow, error] {
	return func(yield func(PlacedRow, error) bool) {
		next := int64(math.MinInt64)
		for {
			rows, err := tx.placed(ctx, `
				SELECT p.row_id, p.first, p.entries, COALESCE(r.at, 0), r.body, r.packed
				FROM log_place p LEFT JOIN log_row r ON r.env = p.env AND r.id = p.row_id
				WHERE p.env = $1 AND p.first >= $2 ORDER BY p.first LIMIT $3`, env, next, scanRows)
			if err != nil {
				yield(PlacedRow{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if len(rows) < scanRows {
				return
			}
			next = rows[len(rows)-1].First + 1
		}
	}
}

// LogRowsBefore returns rows whose first index is below before, newest first. If a license is
// given, it returns only rows that mention it. If until is not zero, it returns no rows newer than
// until.
func (tx *Tx) LogRowsBefore(ctx context.Context, env licensing.Env, before int64, of licensing.LicenseID, until time.Time) ([]PlacedRow, error) {
	end := micros(until)
	if until.IsZero() {
		end = math.MaxInt64
	}
	if of != "" {
		return tx.placed(ctx, `
			SELECT p.row_id, p.first, p.entries, r.at, r.body, r.packed
			FROM log_license l
			JOIN log_place p ON p.env = l.env AND p.first = l.first
			JOIN log_row r ON r.env = p.env AND r.id = p.row_id
			WHERE l.env = $1 AND l.license = $2 AND l.first < $3 AND r.at <= $4
			ORDER BY l.first DESC LIMIT $5`, env, of, before, end, scanRows)
	}
	return tx.placed(ctx, `
		SELECT p.row_id, p.first, p.entries, r.at, r.body, r.packed
		FROM log_place p JOIN log_row r ON r.env = p.env AND r.id = p.row_id
		WHERE p.env = $1 AND p.first < $2 AND r.at <= $3
		ORDER BY p.first DESC LIMIT $4`, env, before, end, scanRows)
}

// LogRowAt returns the row that contains the entry at index, or false if there is none.
func (tx *Tx) LogRowAt(ctx context.Context, env licensing.Env, index int64) (PlacedRow, bool, error) {
	rows, err := tx.placed(ctx, `
		SELECT p.row_id, p.first, p.entries, COALESCE(r.at, 0), r.body, r.packed
		FROM log_place p LEFT JOIN log_row r ON r.env = p.env AND r.id = p.row_id
		WHERE p.env = $1 AND p.first <= $2 ORDER BY p.first DESC LIMIT 1`, env, index)
	if err != nil || len(rows) == 0 || index >= rows[0].First+rows[0].Entries {
		return PlacedRow{}, false, err
	}
	return rows[0], true, nil
}

func (tx *Tx) placed(ctx context.Context, text string, args ...any) ([]PlacedRow, error) {
	rows, err := tx.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	var list []PlacedRow
	return list, each(rows, func(rows Row) error {
		var r PlacedRow
		var at int64
		var body sql.NullString
		var packed []byte
		if err := rows.Scan(&r.ID, &r.First, &r.Entries, &at, &body, &packed); err != nil {
			return err
		}
		r.At = instant(at)
		if body.Valid {
			r.Body = entriesIn(body.String, packed)
		}
		list = append(list, r)
		return nil
	})
}

// StrayLog returns the ids of rows that are neither placed, waiting nor in quarantine, and of
// waiting rows that are gone. An intact log has none.
func (tx *Tx) StrayLog(ctx context.Context, env licensing.Env) ([]string, error) {
	rows, err := tx.query(ctx, `
		SELECT id FROM (
			SELECT id FROM log_row WHERE env = $1
			EXCEPT SELECT row_id FROM log_place WHERE env = $1
			EXCEPT SELECT id FROM log_pending WHERE env = $1
			EXCEPT SELECT id FROM log_quarantine WHERE env = $1
		) AS unplaced
		UNION ALL
		SELECT id FROM (
			SELECT id FROM log_pending WHERE env = $1
			EXCEPT SELECT id FROM log_row WHERE env = $1
		) AS gone`, env)
	if err != nil {
		return nil, err
	}
	var ids []string
	return ids, each(rows, func(rows Row) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
}

// LockLogRow returns a row's body and prevents other transactions from replacing it.
func (tx *Tx) LockLogRow(ctx context.Context, env licensing.Env, id string) ([]byte, error) {
	return tx.logBody(ctx, env, id, tx.ForUpdate())
}

// LogBody returns the stored entries of a row, or nothing if the row is gone.
func (tx *Tx) LogBody(ctx context.Context, env licensing.Env, id string) ([]byte, error) {
	return tx.logBody(ctx, env, id, "")
}

func (tx *Tx) logBody(ctx context.Context, env licensing.Env, id, lock string) ([]byte, error) {
	var body string
	var packed []byte
	_, err := tx.row(ctx, `SELECT body, packed FROM log_row WHERE env = $1 AND id = $2`+lock, []any{env, id}, &body, &packed)
	return entriesIn(body, packed), err
}

// ReplaceLogBody stores the body of a row after a payload was erased.
func (tx *Tx) ReplaceLogBody(ctx context.Context, env licensing.Env, id string, entries []byte) error {
	body, packed := bodyColumns(entries)
	_, err := tx.exec(ctx, `UPDATE log_row SET body = $1, packed = $2 WHERE env = $3 AND id = $4`, body, packed, env, id)
	return err
}
