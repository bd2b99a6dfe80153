package store

import (
	"strings"
	"testing"
)

func TestEveryNumberOfRowsIsCutIntoTextsThatExist(t *testing.T) {
	for rows := 1; rows <= 3*maxChunk; rows++ {
		left, statements := rows, 0
		for left > 0 {
			i := sizeFor(left)
			if i < 0 || i >= sizes || rowsOf(i) > left || rowsOf(i) > maxChunk {
				t.Fatalf("%d rows: text %d takes %d", left, i, rowsOf(i))
			}
			left -= rowsOf(i)
			statements++
		}
		if rows <= maxChunk && statements > 2 {
			t.Errorf("%d rows take %d statements", rows, statements)
		}
	}
}

// TestEachStatementOverManyRowsGetsWhatIsTheSameForAll splits rows that share two arguments into
// several statements.
func TestEachStatementOverManyRowsGetsWhatIsTheSameForAll(t *testing.T) {
	m := newFixed(2, "UPDATE t SET a = $1, b = $2 FROM (VALUES ", 1, "t", ") v")
	args := []any{"a", "b"}
	for row := range 2*maxChunk + step + 3 {
		args = append(args, row)
	}
	next, statements := 0, 0
	err := m.chunks(args, false, func(text string, got []any) error {
		statements++
		if got[0] != "a" || got[1] != "b" || strings.Count(text, "$") != len(got) {
			t.Errorf("%v for %s", got, text)
		}
		for _, row := range got[2:] {
			if row != next {
				t.Fatalf("row %v where %d is next", row, next)
			}
			next++
		}
		return nil
	})
	if err != nil || next != len(args)-2 || statements < 4 {
		t.Errorf("%d rows of %d in %d statements, %v", next, len(args)-2, statements, err)
	}
}
