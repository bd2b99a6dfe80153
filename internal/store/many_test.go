package store

import "testing"

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
