package store_test

import (
	"database/sql"
	"net/url"
	"slices"
	"testing"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
)

// TestTextsHaveOneOrderInAnyLocale checks that lists are sorted by bytes, as in SQLite and as
// cursors require, even in a database whose language sorts a before B.
func TestTextsHaveOneOrderInAnyLocale(t *testing.T) {
	want := []licensing.CustomerID{"Ann", "Zoe", "_", "ann", "bob"}
	check := func(t *testing.T, db *store.DB) {
		t.Helper()
		update(t, db, func(tx *store.Tx) error {
			for _, id := range []licensing.CustomerID{"bob", "ann", "_", "Zoe", "Ann"} {
				if _, err := tx.InsertCustomer(t.Context(), licensing.Customer{Env: "production", ID: id}); err != nil {
					return err
				}
			}
			var got []licensing.CustomerID
			for after := ""; ; {
				page, err := tx.Customers(t.Context(), "production", after, 2)
				if err != nil || len(page) == 0 {
					if !slices.Equal(got, want) {
						t.Errorf("%q, not %q", got, want)
					}
					return err
				}
				for _, c := range page {
					got = append(got, c.ID)
				}
				after = string(got[len(got)-1])
			}
		})
	}
	storetest.Each(t, check)
	t.Run("postgres in English", func(t *testing.T) {
		u, err := url.Parse(storetest.PostgresURL(t))
		if err != nil {
			t.Fatal(err)
		}
		admin, err := sql.Open("pgx", u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' ENCODING 'UTF8'"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := admin.Exec("DROP DATABASE english"); err != nil {
				t.Error(err)
			}
		}()
		u.Path = "/english"
		db, err := postgres.Open(t.Context(), u.String(), "")
		if err != nil {
			t.Fatal(err)
		}
		check(t, db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
