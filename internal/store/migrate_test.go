package store

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestMigrationsOnlyAdd checks the rule that allows restoring a backup of an earlier version, and
// running an earlier program on newer tables: a migration changes and removes no rows, and each new
// column has a default.
func TestMigrationsOnlyAdd(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	comment := regexp.MustCompile(`--[^\n]*`)
	adds := regexp.MustCompile(`^(CREATE (UNIQUE )?(TABLE|INDEX) |ALTER TABLE \w+ ADD COLUMN .* NOT NULL DEFAULT )`)
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, statement := range strings.Split(comment.ReplaceAllString(up, ""), ";") {
			statement = strings.Join(strings.Fields(statement), " ")
			if statement != "" && !adds.MatchString(statement) {
				t.Errorf("%s: %s", name, statement)
			}
		}
	}
}
