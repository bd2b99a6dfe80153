package authority

import (
	"errors"
	"testing"
	"time"

	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// TestAnExportedFileIsAcceptedUntilItsLastDate reads files like a program that starts for the first
// time years later and has never reached a server. It checks the last second of a document for a
// term that ends soon, for one that lasts longer than the trust in the key, and for one without an
// end. The steps of the ladder before the end remain.
func TestAnExportedFileIsAcceptedUntilItsLastDate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		for _, term := range []string{"{length: 1y}", "{length: 4y, grace: 3d}", "{length: 30y}", "{length: 1000y}", "{perpetual: true}"} {
			files := []policy.File{{Name: "long.yaml", Text: "product: lathe\nplan: long\nterm: " + term + "\nfeatures: {export: true}\n"}}
			if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: files, Licenses: "new"}); err != nil {
				t.Fatal(err)
			}
			issued, err := s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "long"})
			if err != nil {
				t.Fatal(err)
			}
			file, err := s.ExportLicense(t.Context(), s.p, issued.License.ID, request.Holder{})
			if err != nil {
				t.Fatal(err)
			}
			s.reads(t, term, file, licensing.License(issued.License))
		}
	})
}

// reads verifies a file in its first and last second, and afterward.
func (s *shop) reads(t *testing.T, term string, file license.Bundle, l licensing.License) {
	t.Helper()
	first := func(now int64) (*license.License, error) {
		v, err := license.NewVerifier(s.ledger.Ring.Issuer(testEnv), "lathe", s.ledger.Ring.RootSet(testEnv))
		if err != nil {
			t.Fatal(err)
		}
		if v, err = v.WithBundle(file, now); err != nil {
			t.Fatalf("%s: the sets in the file are not accepted: %v", term, err)
		}
		return v.Filed().License(file.Doc, now)
	}
	doc, err := first(s.ledger.Now().Unix())
	if err != nil {
		t.Fatalf("%s: not accepted today: %v", term, err)
	}
	if _, err := first(doc.Degraded - 1); err != nil {
		t.Errorf("%s: not accepted in its last second, %s: %v", term, time.Unix(doc.Degraded, 0).UTC(), err)
	}
	if _, err := first(doc.Degraded); !errors.Is(err, license.ErrExpired) {
		t.Errorf("%s: after its last date: %v", term, err)
	}
	trusted := s.ledger.Ring.TrustUntil(testEnv, s.ledger.Now()).Unix()
	switch {
	case doc.Degraded > trusted:
		t.Errorf("%s: the document lasts longer than the trust in its key", term)
	case doc.Expires >= doc.Degraded || doc.Due > doc.Expires:
		t.Errorf("%s: due %d, exp %d, degraded %d: a step of the ladder is lost", term, doc.Due, doc.Expires, doc.Degraded)
	case !l.End.IsZero() && l.End.Unix() < trusted && doc.Due != l.End.Unix():
		t.Errorf("%s: due at %d, and the term ends at %d", term, doc.Due, l.End.Unix())
	case (l.End.IsZero() || l.End.Unix() > trusted) && doc.Degraded != trusted:
		t.Errorf("%s: it ends at %d, and its key is trusted until %d", term, doc.Degraded, trusted)
	}
}
