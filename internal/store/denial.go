package store

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A Denial is the first "no" of a minute to one holder for one reason, and how
// many followed. Pool is a pool or a meter.
type Denial struct {
	PoolKey
	Holder   string
	Code     string
	Minute   time.Time
	Request  string
	Later    string // ids of requests after it, the latest first, by spaces
	At       time.Time
	Times    int64
	Decision license.Decision
	Caller   licensing.Caller // of the first
}

const denialColumns = `env, license, pool, holder, code, minute, request, at, times, decision, caller, later`

// maxLater is how many bytes of the ids of repeated requests are kept: about a dozen.
const maxLater = 400

// Repeat notes the id of a request that was denied after the first.
func (d *Denial) Repeat(request string) {
	d.Later = request + " " + d.Later
	if len(d.Later) > maxLater {
		d.Later = d.Later[:strings.LastIndexByte(d.Later[:maxLater], ' ')+1]
	}
}

var putDenials = newMany(`INSERT INTO denial (`+denialColumns+`) VALUES `, 12, "",
	` ON CONFLICT (env, license, pool, holder, code, minute) DO UPDATE SET times = denial.times + excluded.times,
	later = SUBSTR(excluded.later || excluded.request || ' ' || denial.later, 1, `+strconv.Itoa(maxLater)+`)
	RETURNING env, license, pool, holder, code, minute, times`)

// PutDenials counts denials, each key there once, and returns which of them
// are the first of their minute, by index.
func (tx *Tx) PutDenials(ctx context.Context, denials []Denial) (first map[int]bool, err error) {
	type key struct {
		env, license, pool, holder, code string
		minute                           int64
	}
	args := make([]any, 0, 12*len(denials))
	index := make(map[key]int, len(denials))
	for i, d := range denials {
		decision, err := json.Marshal(d.Decision)
		if err != nil {
			return nil, err
		}
		caller, err := encodeCaller(d.Caller)
		if err != nil {
			return nil, err
		}
		index[key{string(d.Env), string(d.License), d.Name, d.Holder, d.Code, micros(d.Minute)}] = i
		args = append(args, d.Env, d.License, d.Name, d.Holder, d.Code, micros(d.Minute), d.Request, micros(d.At), d.Times, string(decision), caller, d.Later)
	}
	first = make(map[int]bool)
	err = tx.queryMany(ctx, &putDenials, args, func(rows Row) error {
		var k key
		var times int64
		if err := rows.Scan(&k.env, &k.license, &k.pool, &k.holder, &k.code, &k.minute, &times); err != nil {
			return err
		}
		if i := index[k]; times == denials[i].Times {
			first[i] = true
		}
		return nil
	})
	return first, err
}

// Denials returns the denials that began with a request, the latest first.
func (tx *Tx) Denials(ctx context.Context, env licensing.Env, request string) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial WHERE env = $1 AND request = $2 ORDER BY at DESC LIMIT 10`, env, request)
}

// RepeatedDenials returns the denials since a time that a request repeated, of
// those whose ids are kept, the latest first. It looks at all of them.
func (tx *Tx) RepeatedDenials(ctx context.Context, env licensing.Env, request string, since time.Time) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial
		WHERE minute >= $1 AND env = $2 AND later <> '' AND REPLACE(' ' || later, ' ' || $3 || ' ', '') <> ' ' || later
		ORDER BY at DESC LIMIT 10`, micros(since), env, request)
}

// DenialKnown reports whether a denial of d's key is stored.
func (tx *Tx) DenialKnown(ctx context.Context, d Denial) (bool, error) {
	var one int64
	return tx.row(ctx, `SELECT 1 FROM denial
		WHERE env = $1 AND license = $2 AND pool = $3 AND holder = $4 AND code = $5 AND minute = $6`,
		[]any{d.Env, d.License, d.Name, d.Holder, d.Code, micros(d.Minute)}, &one)
}

// LicenseDenials returns a license's latest denials, at most limit.
func (tx *Tx) LicenseDenials(ctx context.Context, env licensing.Env, id licensing.LicenseID, limit int) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial WHERE env = $1 AND license = $2 ORDER BY at DESC LIMIT $3`, env, id, limit)
}

// UncountedDenials returns denials of minutes before a time that are not all in
// the log, locked until the commit, at most limit. Times are those that are missing.
func (tx *Tx) UncountedDenials(ctx context.Context, before time.Time, limit int) ([]Denial, error) {
	return tx.denials(ctx, `SELECT env, license, pool, holder, code, minute, request, at, times - counted, decision, caller, later
		FROM denial WHERE times > counted AND minute < $1
		ORDER BY minute, env, license, pool, code, holder LIMIT $2`+tx.lock(), micros(before), limit)
}

var countDenials = newMany(`UPDATE denial SET counted = denial.counted + v.column7 FROM (VALUES `, 7, "tttttii", `) v
	WHERE denial.env = v.column1 AND denial.license = v.column2 AND denial.pool = v.column3 AND denial.holder = v.column4
	AND denial.code = v.column5 AND denial.minute = v.column6`)

// CountDenials notes that so many more Times of each of the denials are in the log.
func (tx *Tx) CountDenials(ctx context.Context, denials []Denial) error {
	args := make([]any, 0, 7*len(denials))
	for _, d := range denials {
		args = append(args, d.Env, d.License, d.Name, d.Holder, d.Code, micros(d.Minute), d.Times)
	}
	return tx.putMany(ctx, &countDenials, args)
}

func (tx *Tx) denials(ctx context.Context, text string, args ...any) ([]Denial, error) {
	rows, err := tx.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	var denials []Denial
	err = each(rows, func(rows Row) error {
		var d Denial
		var minute, at int64
		var decision, caller string
		if err := rows.Scan(&d.Env, &d.License, &d.Name, &d.Holder, &d.Code, &minute, &d.Request, &at, &d.Times, &decision, &caller, &d.Later); err != nil {
			return err
		}
		d.Minute, d.At = instant(minute), instant(at)
		if err := json.Unmarshal([]byte(decision), &d.Decision); err != nil {
			return err
		}
		d.Caller, err = decodeCaller(caller)
		denials = append(denials, d)
		return err
	})
	return denials, err
}

// ForgetDenials deletes denials of minutes before a time, at most limit.
func (tx *Tx) ForgetDenials(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM denial WHERE (env, license, pool, holder, code, minute) IN
		(SELECT env, license, pool, holder, code, minute FROM denial WHERE minute < $1 ORDER BY minute LIMIT $2)`, micros(before), limit)
}
