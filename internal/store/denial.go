package store

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A Denial is the first denial in a minute for one holder and one reason, with the number of
// denials that followed. Pool is the name of a pool or a meter.
type Denial struct {
	PoolKey
	Holder   string
	Code     string
	Minute   time.Time
	Request  string // the program's id for it, if any
	Call     string // the server's id for it
	Later    string // both ids of later requests, latest first, separated by spaces
	At       time.Time
	Last     time.Time // time of the latest one; zero means At
	Times    int64
	Logged   bool // it has its own log entry; used only by PutDenials
	Decision license.Decision
	Caller   licensing.Caller // of the first denial
}

const denialColumns = `env, license, pool, holder, code, minute, request, at, times, decision, caller, later, call`

// maxLater is how many bytes of ids of repeated requests are kept. That is enough for at least a
// dozen requests.
const maxLater = 800

// Repeat adds the ids of a later request that was denied. Known ids are not added again.
func (d *Denial) Repeat(request, call string) {
	for _, id := range []string{request, call} {
		if id != "" && id != d.Request && id != d.Call {
			d.Later = id + strings.ReplaceAll(" "+d.Later, " "+id+" ", " ")
		}
	}
	if len(d.Later) > maxLater {
		d.Later = d.Later[:strings.LastIndexByte(d.Later[:maxLater], ' ')+1]
	}
}

// asLater is the SQL expression for the ids of a denial, without duplicates.
const asLater = `excluded.later || CASE WHEN excluded.call IN ('', denial.call) THEN '' ELSE excluded.call || ' ' END ||
	CASE WHEN excluded.request IN ('', denial.request) THEN denial.later
	ELSE excluded.request || REPLACE(' ' || denial.later, ' ' || excluded.request || ' ', ' ') END`

var putDenials = newMultirow(`INSERT INTO denial (`+denialColumns+`, counted) VALUES `, 14, "",
	` ON CONFLICT (env, license, pool, holder, code, minute) DO UPDATE SET times = denial.times + excluded.times,
	counted = denial.counted + excluded.counted, later = SUBSTR(`+asLater+`, 1, `+strconv.Itoa(maxLater)+`)
	RETURNING env, license, pool, holder, code, minute, times`)

var putSessions = newMultirow(`INSERT INTO denial_session (env, license, pool, holder, code, tries, last_at) VALUES `, 7, "",
	` ON CONFLICT (env, license, pool, holder, code) DO UPDATE SET
	tries = excluded.tries + CASE WHEN excluded.last_at - denial_session.last_at < `+strconv.FormatInt(licensing.SessionGap.Microseconds(), 10)+`
		THEN denial_session.tries ELSE 0 END,
	last_at = CASE WHEN excluded.last_at > denial_session.last_at THEN excluded.last_at ELSE denial_session.last_at END
	RETURNING env, license, pool, holder, code, tries`)

// PutSessions counts denials in the sessions of their holders. It returns the indexes of the
// denials that begin a session: those without another denial of the same license, pool, holder and
// code within licensing.SessionGap before them, on any server. If several denials in the list
// belong to one session, only the first can begin it. The counted rows stay locked until the
// commit.
func (tx *Tx) PutSessions(ctx context.Context, denials []Denial) (first map[int]bool, err error) {
	type key struct{ env, license, pool, holder, code string }
	type session struct {
		key
		index       int // of its first denial
		tries, last int64
	}
	all := make(map[key]*session, len(denials))
	for i, d := range denials {
		k := key{string(d.Env), string(d.License), d.Name, d.Holder, d.Code}
		s := all[k]
		if s == nil {
			s = &session{key: k, index: i}
			all[k] = s
		}
		s.tries += d.Times
		s.last = max(s.last, micros(d.At), micros(d.Last))
	}
	// Always lock in the same order, so that two servers do not block each other.
	ordered := slices.SortedFunc(maps.Values(all), func(a, b *session) int {
		return cmp.Or(cmp.Compare(a.env, b.env), cmp.Compare(a.license, b.license), cmp.Compare(a.pool, b.pool), cmp.Compare(a.holder, b.holder), cmp.Compare(a.code, b.code))
	})
	args := make([]any, 0, 7*len(ordered))
	for _, s := range ordered {
		args = append(args, s.env, s.license, s.pool, s.holder, s.code, s.tries, s.last)
	}
	first = make(map[int]bool)
	err = tx.queryMany(ctx, &putSessions, args, func(rows Row) error {
		var k key
		var tries int64
		if err := rows.Scan(&k.env, &k.license, &k.pool, &k.holder, &k.code, &tries); err != nil {
			return err
		}
		if s := all[k]; tries == s.tries {
			first[s.index] = true
		}
		return nil
	})
	return first, err
}

// ForgetSessions deletes up to limit sessions whose last denial was before a time.
func (tx *Tx) ForgetSessions(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM denial_session WHERE (env, license, pool, holder, code) IN
		(SELECT env, license, pool, holder, code FROM denial_session WHERE last_at < $1 ORDER BY last_at LIMIT $2)`, micros(before), limit)
}

// PutDenials counts denials, at most one per key, and returns the indexes of those that are the
// first of their minute.
func (tx *Tx) PutDenials(ctx context.Context, denials []Denial) (first map[int]bool, err error) {
	type key struct {
		env, license, pool, holder, code string
		minute                           int64
	}
	args := make([]any, 0, 14*len(denials))
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
		args = append(args, d.Env, d.License, d.Name, d.Holder, d.Code, micros(d.Minute), d.Request, micros(d.At), d.Times, string(decision), caller, d.Later, d.Call, btoi(d.Logged))
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

// Denials returns the denials whose first request has the given id, latest first.
func (tx *Tx) Denials(ctx context.Context, env licensing.Env, request string) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial WHERE env = $1 AND request = $2 AND request <> '' ORDER BY at DESC LIMIT 10`, env, request)
}

// RepeatedDenials returns the denials since a time that have the given id among their kept repeats,
// latest first. It reads all repeated denials since that time.
func (tx *Tx) RepeatedDenials(ctx context.Context, env licensing.Env, request string, since time.Time) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial`+tx.indexed("denial_repeated")+`
		WHERE env = $1 AND minute >= $2 AND later <> '' AND REPLACE(' ' || later, ' ' || $3 || ' ', '') <> ' ' || later
		ORDER BY at DESC LIMIT 10`, env, micros(since), request)
}

// DenialsOfCall returns the denials that name the server's id of a request, among the kept ids,
// latest first. It covers minutes from the time from up to but not including before.
func (tx *Tx) DenialsOfCall(ctx context.Context, env licensing.Env, call string, from, before time.Time) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial
		WHERE minute >= $1 AND minute < $2 AND (env || '') = $3
			AND (call = $4 OR later <> '' AND REPLACE(' ' || later, ' ' || $4 || ' ', '') <> ' ' || later)
		ORDER BY at DESC LIMIT 1000`, micros(from), micros(before), env, call)
}

// DenialKnown reports whether a denial with d's key is stored.
func (tx *Tx) DenialKnown(ctx context.Context, d Denial) (bool, error) {
	var one int64
	return tx.row(ctx, `SELECT 1 FROM denial
		WHERE env = $1 AND license = $2 AND pool = $3 AND holder = $4 AND code = $5 AND minute = $6`,
		[]any{d.Env, d.License, d.Name, d.Holder, d.Code, micros(d.Minute)}, &one)
}

// LicenseDenials returns up to limit of a license's latest denials.
func (tx *Tx) LicenseDenials(ctx context.Context, env licensing.Env, id licensing.LicenseID, limit int) ([]Denial, error) {
	return tx.denials(ctx, `SELECT `+denialColumns+` FROM denial WHERE env = $1 AND license = $2 ORDER BY at DESC LIMIT $3`, env, id, limit)
}

// UncountedDenials returns up to limit denials of minutes before a time that are not completely in
// the log, and locks them until the commit. Times is the number that is missing.
func (tx *Tx) UncountedDenials(ctx context.Context, before time.Time, limit int) ([]Denial, error) {
	return tx.denials(ctx, `SELECT env, license, pool, holder, code, minute, request, at, times - counted, decision, caller, later, call
		FROM denial WHERE times > counted AND minute < $1
		ORDER BY minute, env, license, pool, code, holder LIMIT $2`+tx.lock(), micros(before), limit)
}

var countDenials = newMultirow(`UPDATE denial SET counted = denial.counted + v.column7 FROM (VALUES `, 7, "tttttii", `) v
	WHERE denial.env = v.column1 AND denial.license = v.column2 AND denial.pool = v.column3 AND denial.holder = v.column4
	AND denial.code = v.column5 AND denial.minute = v.column6`)

// CountDenials records that the given Times of each denial are now in the log.
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
		if err := rows.Scan(&d.Env, &d.License, &d.Name, &d.Holder, &d.Code, &minute, &d.Request, &at, &d.Times, &decision, &caller, &d.Later, &d.Call); err != nil {
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

// ForgetDenials deletes up to limit denials of minutes before a time.
func (tx *Tx) ForgetDenials(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM denial WHERE (env, license, pool, holder, code, minute) IN
		(SELECT env, license, pool, holder, code, minute FROM denial WHERE minute < $1 ORDER BY minute LIMIT $2)`, micros(before), limit)
}
