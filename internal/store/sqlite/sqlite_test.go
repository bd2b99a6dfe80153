package sqlite

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyParametersInOrderLoseTheirNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1": "SELECT 1",
		"VALUES ($1,$2),($3,$4),($5,$6),($7,$8),($9,$10),($11,$12)": "VALUES (?,?),(?,?),(?,?),(?,?),(?,?),(?,?)",
		"WHERE a = $1 AND b > $2 LIMIT $3":                          "WHERE a = ? AND b > ? LIMIT ?",
		"WHERE a = $2 AND b > $1":                                   "WHERE a = $2 AND b > $1",
		"WHERE a = $1 AND ($2 = '' OR b = $2)":                      "WHERE a = $1 AND ($2 = '' OR b = $2)",
		"VALUES ($1, $22)":                                          "VALUES ($1, $22)",
		"VALUES ($10)":                                              "VALUES ($10)",
	} {
		if got := anonymous(text); got != want {
			t.Errorf("%s became %s, not %s", text, got, want)
		}
	}
}

// TestNobodyElseReadsTheDatabase checks this even in a folder that others can read.
func TestNobodyElseReadsTheDatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), filepath.Join(dir, "copyhold.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}
