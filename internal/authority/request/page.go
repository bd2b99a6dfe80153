package request

import (
	"encoding/base64"
	"strings"

	"copyhold.dev/internal/licensing"
)

// MaxPage is the most items a list returns at once; DefaultPage is what it
// returns when nobody says.
const (
	MaxPage     = 500
	DefaultPage = 50
)

// A Page is part of a list. Next, given back as cursor, continues after it;
// empty when the list has ended. Items that come or go meanwhile move no other.
type Page[T any] struct {
	Items []T
	Next  string
}

// A PageOf asks for part of a list: at most Limit items, 0 for DefaultPage,
// after where Cursor points, empty for the beginning.
type PageOf struct {
	Limit  int
	Cursor string
}

// After returns the id a page begins after and how many rows to ask for: one
// more than wanted, which tells whether the list goes on.
func (o PageOf) After(noun string) (id string, rows int, err error) {
	limit := o.Limit
	switch {
	case limit == 0:
		limit = DefaultPage
	case limit < 0 || limit > MaxPage:
		return "", 0, licensing.Errorf(licensing.Invalid, "limit %d is not between 1 and %d", limit, MaxPage).At("limit")
	}
	if o.Cursor == "" {
		return "", limit + 1, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(o.Cursor)
	id, ok := strings.CutPrefix(string(text), noun+":")
	if err != nil || !ok {
		return "", 0, licensing.Errorf(licensing.Invalid, "the cursor is not one of this list").At("cursor")
	}
	return id, limit + 1, nil
}

// NewPage cuts items, of which rows were asked for, to a page.
func NewPage[T any](noun string, items []T, rows int, id func(T) string) Page[T] {
	if len(items) < rows {
		return Page[T]{Items: items}
	}
	items = items[:rows-1]
	return Page[T]{Items: items, Next: Cursor(noun, id(items[len(items)-1]))}
}

// Cursor points after an item of a list.
func Cursor(noun, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(noun + ":" + id))
}
