package access_test

import (
	"slices"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

func TestAZeroPrincipalMayNothingButWhatIsPublic(t *testing.T) {
	var p access.Principal
	for _, permission := range append(access.Permissions(), access.LicenseKey) {
		if p.May(permission) {
			t.Errorf("nobody may %s", permission)
		}
	}
	if !p.May(access.Public) {
		t.Error("what is public is not")
	}
}

// TestALicenseKeyHasNoRole holds even if a role were set by mistake.
func TestALicenseKeyHasNoRole(t *testing.T) {
	p := access.Principal{Kind: access.KindLicense, Env: "production", Role: access.Owner}
	for _, permission := range access.Permissions() {
		if p.May(permission) {
			t.Errorf("a license key may %s", permission)
		}
	}
	if !p.May(access.LicenseKey) {
		t.Error("a license key may not use its license")
	}
	if (access.Principal{Kind: access.KindToken, Role: access.Owner}).May(access.LicenseKey) {
		t.Error("an owner's token passes for a license key")
	}
}

func TestScope(t *testing.T) {
	for _, tc := range []struct {
		name      string
		principal access.Principal
		want      bool
	}{
		{"no scope", access.Principal{Role: access.Viewer}, true},
		{"own customer", access.Principal{Role: access.Customer, Customer: "cus_1"}, true},
		{"other customer", access.Principal{Role: access.Customer, Customer: "cus_2"}, false},
		{"customer's role without a customer", access.Principal{Role: access.Customer}, false},
		{"own product", access.Principal{Role: access.Viewer, Product: "lathe"}, true},
		{"other product", access.Principal{Role: access.Viewer, Product: "mill"}, false},
		{"own customer, other product", access.Principal{Role: access.Customer, Customer: "cus_1", Product: "mill"}, false},
	} {
		if got := tc.principal.Sees("cus_1", "lathe"); got != tc.want {
			t.Errorf("%s: sees %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestAScopedTokenHoldsNothingThatReachesFurther lists the permissions that no token of one
// product or one customer may have, whatever its role.
func TestAScopedTokenHoldsNothingThatReachesFurther(t *testing.T) {
	whole := []access.Permission{
		"environment:read", "environment:write", "signing-key:read", "signing-key:write", "root:write", "audit:erase", "backup:take", "fence:end",
	}
	byProduct := []access.Permission{"product:read", "product:write", "plan:read", "plan:apply"}
	for _, permission := range access.Permissions() {
		for name, p := range map[string]access.Principal{
			"none":     {Kind: access.KindToken, Role: access.Owner},
			"product":  {Kind: access.KindToken, Role: access.Owner, Product: "lathe"},
			"customer": {Kind: access.KindToken, Role: access.Owner, Customer: "cus_1"},
			"both":     {Kind: access.KindToken, Role: access.Owner, Product: "lathe", Customer: "cus_1"},
		} {
			want := name == "none" || !slices.Contains(whole, permission) && (name == "product" || !slices.Contains(byProduct, permission))
			if p.May(permission) != want {
				t.Errorf("an owner's token with the scope %s may %s: %v", name, permission, !want)
			}
			if err := p.Require(permission); !want && licensing.CodeOf(err) != licensing.Forbidden {
				t.Errorf("an owner's token with the scope %s lacks %s: %v", name, permission, err)
			}
		}
	}
	for _, role := range access.Roles() {
		if got := role.TakesCustomer(); got == (role == "owner" || role == "admin") {
			t.Errorf("a token of the role %s can be limited to one customer: %v", role, got)
		}
	}
}

func TestOnlyATokenThatSpansEnvironmentsNamesOne(t *testing.T) {
	staging := access.Principal{Kind: access.KindToken, Env: "staging", Role: access.Admin}
	if _, err := staging.In("production"); licensing.CodeOf(err) != licensing.Forbidden {
		t.Errorf("a token of staging reached production: %v", err)
	}
	if p, err := staging.In(""); err != nil || p.Env != "staging" {
		t.Errorf("%v, %v", p, err)
	}
	owner := access.Principal{Kind: access.KindToken, Spans: true, Role: access.Owner}
	if _, err := owner.In(""); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("no environment was named and one was chosen: %v", err)
	}
	unspanned := access.Principal{Kind: access.KindToken, Role: access.Viewer}
	for _, env := range []licensing.Env{"", "production"} {
		if _, err := unspanned.In(env); licensing.CodeOf(err) != licensing.Forbidden {
			t.Errorf("a token of no environment in %q: %v", env, err)
		}
	}
	if p, err := owner.In("production"); err != nil || p.Env != "production" {
		t.Errorf("%v, %v", p, err)
	}
}

func TestToken(t *testing.T) {
	token := access.NewToken("production", "tok_01jd2c3v4x5y6z7a8b9c0d1e2f", [20]byte{1, 2, 3})
	env, id, err := access.ParseToken(token)
	if err != nil || env != "production" || id != "tok_01jd2c3v4x5y6z7a8b9c0d1e2f" {
		t.Fatalf("%s reads as %s, %s, %v", token, env, id, err)
	}
	if env, _, err := access.ParseToken(access.NewToken("eu_west", "tok_1", [20]byte{})); err != nil || env != "eu_west" {
		t.Errorf("an environment with an underscore reads as %q, %v", env, err)
	}
	for i := range token {
		other := token[:i] + string(token[i]^1) + token[i+1:]
		if _, _, err := access.ParseToken(other); licensing.CodeOf(err) != licensing.Unauthenticated {
			t.Errorf("%s was read, one bit away at %d", other, i)
		}
	}
	for _, other := range []string{"", "cht", "cht____", strings.Repeat("a", 1000), token + token, "CH-ABCDE"} {
		if _, _, err := access.ParseToken(other); licensing.CodeOf(err) != licensing.Unauthenticated {
			t.Errorf("%q was read", other)
		}
	}
}

func TestDigest(t *testing.T) {
	d := access.Hash("secret")
	back, err := access.ParseDigest(d.String())
	if err != nil || !back.Equal(d) || back.Equal(access.Hash("Secret")) {
		t.Error("a digest differs from itself, or equals another")
	}
	if _, err := access.ParseDigest("00"); err == nil {
		t.Error("a damaged digest was read")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(access.NewToken("all", "tok_1", [20]byte{9}))
	f.Add("cht_a_b_c_d")
	f.Fuzz(func(t *testing.T, s string) {
		env, id, err := access.ParseToken(s)
		if err == nil && !strings.HasPrefix(s, "cht_"+string(env)+"_"+strings.TrimPrefix(string(id), "tok_")+"_") {
			t.Errorf("%q reads as %s, %s", s, env, id)
		}
	})
}
