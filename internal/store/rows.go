package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

// collect reads all rows with scan and closes them. err is the query's own error, so that a query
// and collect can be combined in one call.
func collect[T any](rows *sql.Rows, err error, scan func(Row) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// only returns the first result of a query by key, and whether there was one.
func only[T any](all []T, err error) (T, bool, error) {
	if err != nil || len(all) == 0 {
		var none T
		return none, false, err
	}
	return all[0], true, nil
}

// encode encodes a value that has no columns of its own.
func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %T to store it: %w", v, err)
	}
	return string(text), nil
}

// decode reads the output of encode.
func decode(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decoding a stored %T: %w", v, err)
	}
	return nil
}
