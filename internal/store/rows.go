package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

// collect reads all rows with scan and closes them. Err is what the query
// returned, so that the two can be joined in one call.
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

// only returns the first of what a query by key found, and whether there was one.
func only[T any](all []T, err error) (T, bool, error) {
	if err != nil || len(all) == 0 {
		var none T
		return none, false, err
	}
	return all[0], true, nil
}

// encode is how a value without columns of its own is stored.
func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %T to store it: %w", v, err)
	}
	return string(text), nil
}

// decode reads what encode wrote.
func decode(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decoding a stored %T: %w", v, err)
	}
	return nil
}
