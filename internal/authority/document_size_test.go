package authority

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// wide returns a plan with the given number of features, each with a text that takes 100 bytes of a
// document.
func wide(features int) []policy.File {
	var b strings.Builder
	b.WriteString("product: lathe\nplan: wide\nterm: {length: 1y}\nfeatures:\n")
	for n := range features {
		fmt.Fprintf(&b, "  f%04d: %s\n", n, strings.Repeat("x", 100-len(`"f0000":{"value":""},`)))
	}
	fmt.Fprint(&b, "pools: {machines: {holder: machine, capacity: 3, lease: none, match: {need: 2, of: 3}}}\n")
	fmt.Fprintf(&b, "addons: {more: {features: {note: %s}}}\n", strings.Repeat("y", 900))
	return []policy.File{{Name: "wide.yaml", Text: b.String()}}
}

// fillsADocument is the maximum number of features of wide that a license can have.
const fillsADocument = 406

// exceptions grants n features with texts that take 500 bytes each.
func exceptions(n int) (all []licensing.Exception) {
	for i := range n {
		all = append(all, licensing.Exception{Feature: fmt.Sprintf("more%04d", i), Value: license.TextValue(strings.Repeat("z", 470)), Reason: "test"})
	}
	return all
}

// TestNothingIsGrantedThatNoDocumentCanSay checks that lint, apply, issue, change, a scheduled
// change and import refuse any license whose document would exceed 64 KiB, and change nothing.
func TestNothingIsGrantedThatNoDocumentCanSay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		refused := func(what string, err error, code licensing.Code) {
			t.Helper()
			if licensing.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), "the maximum is 65536 (features") {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: wide(600)})
		refused("a plan", err, licensing.Invalid)
		_, err = s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: wide(fillsADocument)})
		refused("an add-on", err, licensing.Invalid)

		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: wide(300)}); err != nil {
			t.Fatal(err)
		}
		_, err = s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "wide", Exceptions: exceptions(40)})
		refused("a license", err, licensing.Conflict)
		issued, err := s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "wide"})
		if err != nil {
			t.Fatal(err)
		}
		before := s.license(issued.License.ID)
		for _, when := range []licensing.When{licensing.ChangeNow, licensing.ChangeAtRenewal} {
			_, err = s.ChangeLicense(t.Context(), s.p, before.ID, v1.ChangeRequest{Change: licensing.Change{When: when, Except: exceptions(40)}})
			refused("a change "+string(when), err, licensing.Conflict)
		}
		other := s.issue()
		_, err = s.ChangeLicense(t.Context(), s.p, other.License.ID, v1.ChangeRequest{Change: licensing.Change{Except: exceptions(120)}})
		refused("a change of the other", err, licensing.Conflict)
		if after := s.license(before.ID); after.Seq != before.Seq {
			t.Errorf("the refused change counted: %v, %v", before.Seq, after.Seq)
		}
		// This license follows the plan and would not fit its next revision.
		if _, err := s.ChangeLicense(t.Context(), s.p, before.ID, v1.ChangeRequest{Change: licensing.Change{Except: exceptions(20)}}); err != nil {
			t.Fatal(err)
		}
		_, err = s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: wide(380), Licenses: "all"})
		refused("an apply", err, licensing.Conflict)
		done, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: "key,customer,plan\nimported-key-1,ref:C7,wide\n"})
		if err != nil || done.Imported != 1 {
			t.Errorf("an import of what fits: %+v %v", done, err)
		}
	})
}

// TestTheLargestLicenseCanBeToldToTheLargestMachine signs the largest permitted license with 100
// keys, the maximum number of machine components and all sealed features.
func TestTheLargestLicenseCanBeToldToTheLargestMachine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		files := wide(fillsADocument)
		files[0].Text = files[0].Text[:strings.Index(files[0].Text, "addons:")]
		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: files}); err != nil {
			t.Fatal(err)
		}
		for n := range licensing.MaxSealed {
			if _, err := s.FeatureKey(t.Context(), s.p, "lathe", fmt.Sprintf("f%04d", n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.FeatureKey(t.Context(), s.p, "lathe", "one-more"); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("one sealed feature more: %v", err)
		}
		if _, err := s.FeatureKey(t.Context(), s.p, "lathe", "f0000"); err != nil {
			t.Errorf("a key that there is: %v", err)
		}
		issued, err := s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "wide"})
		if err != nil {
			t.Fatal(err)
		}
		for range catalog.MaxKeys - 1 {
			if _, err := s.RotateKey(t.Context(), s.p, issued.License.ID, v1.KeyRequest{Keep: true}); err != nil {
				t.Fatal(err)
			}
		}
		device, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		components := map[string]string{}
		for n := range request.MaxComponents {
			components[fmt.Sprintf("component-%02d-%s", n, strings.Repeat("n", 40))] = strings.Repeat("v", request.MaxText-8)
		}
		program := access.Principal{Kind: access.KindLicense, Env: testEnv, License: issued.License.ID, Product: "lathe"}
		acquire := func() (granting.Granted, error) {
			return s.Acquire(t.Context(), program, granting.AcquireRequest{RequestID: "r", Pool: "machines", Units: 1, Instance: "i",
				Holder: request.Holder{Kind: "machine", ID: strings.Repeat("i", request.MaxText), Components: components}})
		}
		g, err := acquire()
		if err != nil || g.Lease == nil {
			t.Fatalf("%+v %v", g.Decision, err)
		}
		v, err := s.Validate(t.Context(), program, documents.ValidateRequest{Product: "lathe", Holder: strings.Repeat("i", request.MaxText),
			Asker: licensing.Asker{Kind: "machine", Components: components}, DeviceKey: base64.RawURLEncoding.EncodeToString(device.PublicKey().Bytes())})
		if err != nil {
			t.Fatal(err)
		}
		doc := claims(t, v.License)
		for _, has := range []string{`"component-31-`, `"license_keys":`, `"f0063":"`} {
			if !strings.Contains(doc, has) {
				t.Errorf("the document has no %s", has)
			}
		}
		if len(doc) < license.MaxDocument*9/10 {
			t.Errorf("the document takes %d bytes: it is not the largest, and shows nothing", len(doc))
		}
		for _, names := range [][]string{{"ä"}, {"a b"}, {""}, {"board", "Board"}, {strings.Repeat("n", 129)}} {
			odd := map[string]string{"drive": "1", "processor": "2"}
			for _, name := range names {
				odd[name] = "v"
			}
			_, err := s.Validate(t.Context(), program, documents.ValidateRequest{Product: "lathe", Holder: "m", Asker: licensing.Asker{Kind: "machine", Components: odd}})
			if licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("components named %q: %v", names, err)
			}
		}
		components["one-more-byte"] = strings.Repeat("v", request.MaxText)
		delete(components, "component-00-"+strings.Repeat("n", 40))
		components["two"] = strings.Repeat("v", request.MaxText)
		if _, err := acquire(); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a larger machine: %v", err)
		}
	})
}

// TestALicenseThatIsTooLargeIsToldItsEnd checks a license that was granted before sizes were
// checked. A minimal signed document still reports its suspension or revocation.
func TestALicenseThatIsTooLargeIsToldItsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		for name, end := range map[string]func(licensing.LicenseID) error{
			license.Suspended: func(id licensing.LicenseID) error {
				_, err := s.SuspendLicense(t.Context(), s.p, id, "test")
				return err
			},
			license.Revoked: func(id licensing.LicenseID) error {
				_, err := s.RevokeLicense(t.Context(), s.p, id, v1.RevokeRequest{Reason: "test"})
				return err
			},
		} {
			l := s.issue().License
			l.Exceptions = exceptions(200)
			l.Seq.Counter++
			if err := s.ledger.DB.Update(t.Context(), func(tx *store.Tx) error { return tx.UpdateLicense(t.Context(), licensing.License(l)) }); err != nil {
				t.Fatal(err)
			}
			if err := end(l.ID); err != nil {
				t.Fatal(err)
			}
			program := access.Principal{Kind: access.KindLicense, Env: testEnv, License: l.ID, Product: "lathe"}
			v, err := s.Validate(t.Context(), program, documents.ValidateRequest{Product: "lathe"})
			if err != nil || v.License == "" || !strings.Contains(claims(t, v.License), `"status":"`+name+`"`) {
				t.Errorf("%s: %+v %v", name, v, err)
			}
		}
	})
}

func claims(t *testing.T, compact string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
