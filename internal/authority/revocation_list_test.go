package authority

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestTheListOfRevocationsIsADocumentHoweverManyThereAre checks that the list contains the newest
// revocations that fit, with the newest reasons, and is signed whatever the reasons are.
func TestTheListOfRevocationsIsADocumentHoweverManyThereAre(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.ledger.Log = slog.New(slog.DiscardHandler)
		v, err := s.ledger.Ring.Verifier(testEnv)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for _, n := range []int{1, 349, 450, 700} {
			revokeMany(t, s, made, n)
			made += n
			s.ledger.Announce([]ledger.Committed{{Env: testEnv, Notice: ledger.RevocationsChanged}})
			list, err := s.Revocations(t.Context(), testEnv)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := v.Revocations(list.Compact, s.ledger.DB.Latest().Unix())
			if err != nil {
				t.Fatal(err)
			}
			listed := doc.Revoked
			first, last := listed[0], listed[len(listed)-1]
			t.Logf("%d revocations: %d listed in %d bytes, the first because of %q", made, len(listed), len(list.Compact), first.Reason)
			if last.Subject != subjectOf(made-1) || last.Reason == "" && made <= 800 || first.Subject != subjectOf(made-len(listed)) {
				t.Errorf("from %+v to %+v", first, last)
			}
			if want := min(made, 800); len(listed) < want {
				t.Errorf("%d of %d are listed", len(listed), made)
			}
			for _, r := range listed {
				if len(r.Reason) > documents.MaxListedReason || !utf8.ValidString(r.Reason) {
					t.Fatalf("reason %q", r.Reason)
				}
			}
		}
	})
}

func subjectOf(n int) string { return fmt.Sprintf("lic_%026d", n) }

func revokeMany(t *testing.T, s *shop, from, n int) {
	t.Helper()
	err := s.ledger.Update(t.Context(), testEnv, "test", func(tx *ledger.Tx) error {
		for i := from; i < from+n; i++ {
			reason := strings.Repeat("größer ", i%200) + "refund"
			if err := catalog.Revoke(t.Context(), tx, testEnv, store.Revocation{Subject: subjectOf(i), At: tx.Now(), Reason: reason}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestARevocationHasABoundedReason checks this because the reason is copied into a document that
// everyone reads.
func TestARevocationHasABoundedReason(t *testing.T) {
	s := openShop(t, storetest.SQLite(t))
	id := s.issue().License.ID
	for reason, want := range map[string]licensing.Code{"": licensing.Invalid, strings.Repeat("x", catalog.MaxReason+1): licensing.Invalid} {
		if _, err := s.RevokeLicense(t.Context(), access.System(testEnv, "test"), id, v1.RevokeRequest{Reason: reason}); licensing.CodeOf(err) != want {
			t.Errorf("a reason of %d bytes: %v", len(reason), err)
		}
	}
	if _, err := s.RevokeLicense(t.Context(), access.System(testEnv, "test"), id, v1.RevokeRequest{Reason: strings.Repeat("x", catalog.MaxReason)}); err != nil {
		t.Error(err)
	}
	if list := documents.ListRevoked([]store.Revocation{{Subject: "lic_1", At: time.Unix(1, 0)}}, 10); len(list) != 0 {
		t.Errorf("%+v in no room", list)
	}
}
