package access_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
)

var update = flag.Bool("update", false, "rewrite the table in docs/roles.md")

const rolesPage = "../../docs/roles.md"

// TestRolesPage keeps the table that people read equal to the one that decides.
func TestRolesPage(t *testing.T) {
	page, err := os.ReadFile(rolesPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "| permission |")
	if !ok {
		t.Fatal("docs/roles.md has lost its table")
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	want := before + rolesTable() + "\n" + after
	if *update {
		if err := os.WriteFile(rolesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Error("docs/roles.md differs from the roles: run go test ./internal/access -update")
	}
}

func rolesTable() string {
	var b strings.Builder
	b.WriteString("| permission |")
	for _, r := range access.Roles() {
		b.WriteString(" " + string(r) + " |")
	}
	b.WriteString(" of one product | of one customer |\n|---|" + strings.Repeat("---|", len(access.Roles())+2) + "\n")
	for _, p := range access.Permissions() {
		b.WriteString("| `" + string(p) + "` |")
		for _, r := range access.Roles() {
			b.WriteString(cell(r.May(p)))
		}
		b.WriteString(cell(p.WithinProduct()) + cell(p.WithinCustomer()))
		b.WriteString("\n")
	}
	return b.String()
}

func cell(yes bool) string {
	if yes {
		return " yes |"
	}
	return " |"
}

// TestNobodyGrantsMoreThanTheyHold covers every pair of roles.
func TestNobodyGrantsMoreThanTheyHold(t *testing.T) {
	for _, giver := range access.Roles() {
		for _, given := range access.Roles() {
			if !giver.MayGrant(given) {
				continue
			}
			for _, p := range access.Permissions() {
				if given.May(p) && !giver.May(p) {
					t.Errorf("%s may create a token of %s, which holds %s and it does not", giver, given, p)
				}
			}
		}
	}
	if !access.Owner.MayGrant(access.Owner) || !access.Admin.MayGrant(access.Admin) || access.Admin.MayGrant(access.Owner) {
		t.Error("owner makes owners, admin makes admins, and no more")
	}
	if access.Operator.MayGrant(access.Viewer) {
		t.Error("an operator creates tokens")
	}
}

func TestEveryPermissionHasAHolderAndAnEmptyRoleHasNone(t *testing.T) {
	for _, p := range access.Permissions() {
		if !access.Owner.May(p) {
			t.Errorf("the owner lacks %s", p)
		}
		if access.Role("").May(p) || access.Role("root").May(p) {
			t.Errorf("a role that does not exist holds %s", p)
		}
	}
	if access.Owner.May("license:burn") {
		t.Error("the owner holds a permission that does not exist")
	}
	if _, err := access.ParseRole("root"); err == nil {
		t.Error("a role that does not exist was read")
	}
}
