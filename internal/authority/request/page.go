package request

import (
	"encoding/base64"
	"strings"

	"copyhold.dev/internal/licensing"
)

// MaxPage is the maximum number of items that a list returns at once. DefaultPage is the number if
// the caller sets none.
const (
	MaxPage     = 500
	DefaultPage = 50
)

// A Page is part of a list. Pass Next as the cursor to get the following page; Next is empty at the
// end of the list. Items that are added or removed in the meantime do not shift other items.
type Page[T any] struct {
	Items []T
	Next  string
}

// A PageOf selects part of a list: at most Limit items (0 means DefaultPage) after the position in
// Cursor (empty means the beginning).
type PageOf struct {
	Limit  int
	Cursor string
}

// After returns the id after which a page begins, and the number of rows to request. That is one
// more than the page needs, which shows whether the list continues.
func (o PageOf) After(noun string) (id string, rows int, err error) {
	limit := o.Limit
	switch {
	case limit == 0:
		limit = DefaultPage
	case limit < 0 || limit > MaxPage:
		return "", 0, licensing.Errorf(licensing.Invalid, "limit must be between 1 and %[2]d, not %[1]d", limit, MaxPage).At("limit")
	}
	if o.Cursor == "" {
		return "", limit + 1, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(o.Cursor)
	id, ok := strings.CutPrefix(string(text), noun+":")
	if err != nil || !ok {
		return "", 0, licensing.Errorf(licensing.Invalid, "the cursor does not belong to this list").At("cursor")
	}
	return id, limit + 1, nil
}

// NewPage cuts items to the size of a page. rows is the number of rows that were requested.
func NewPage[T any](noun string, items []T, rows int, id func(T) string) Page[T] {
	if len(items) < rows {
		return Page[T]{Items: items}
	}
	items = items[:rows-1]
	return Page[T]{Items: items, Next: Cursor(noun, id(items[len(items)-1]))}
}

// Cursor returns a cursor that points after an item of a list.
func Cursor(noun, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(noun + ":" + id))
}
