package authority

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// listed returns which of the keys are in a compact license document.
func listed(t *testing.T, compact string, keys ...string) (found []bool) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var doc license.License
	if err := json.Unmarshal(payload, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, key := range keys {
		has := doc.HasKey(license.KeyHash(key))
		if found = append(found, has); has {
			n++
		}
	}
	if n != len(doc.LicenseKeys) {
		t.Errorf("the document lists %d keys, %d of them known", len(doc.LicenseKeys), n)
	}
	return found
}

// TestADocumentListsTheKeysThatHaveNotEnded checks that each new document lists the keys that it is
// for, immediately after a change. An imported key is not listed, because it may be guessed.
func TestADocumentListsTheKeysThatHaveNotEnded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		issued := s.issue()
		id, first := issued.License.ID, issued.Key.Text
		program := access.Principal{Kind: access.KindLicense, Env: testEnv, License: id, Product: "lathe"}
		document := func() string {
			t.Helper()
			v, err := s.Validate(t.Context(), program, documents.ValidateRequest{Product: "lathe"})
			if err != nil {
				t.Fatal(err)
			}
			return v.License
		}
		rotate := func(r v1.KeyRequest) string {
			t.Helper()
			key, err := s.RotateKey(t.Context(), s.p, id, r)
			if err != nil {
				t.Fatal(err)
			}
			return key.Text
		}
		want := func(what string, compact string, keys []string, found ...bool) {
			t.Helper()
			if got := listed(t, compact, keys...); !slices.Equal(got, found) {
				t.Errorf("%s: %v, want %v", what, got, found)
			}
		}
		want("issued", document(), []string{first}, true)
		listener, err := s.Listen(t.Context(), program, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		second := rotate(v1.KeyRequest{Keep: true})
		if n := listener.Take(); n&ledger.KeysChanged == 0 {
			t.Errorf("programs are notified of %b", n)
		}
		want("another", document(), []string{first, second}, true, true)
		third := rotate(v1.KeyRequest{Overlap: licensing.Span(time.Hour / time.Second)})
		want("overlapping", document(), []string{first, second, third}, true, true, true)
		fourth := rotate(v1.KeyRequest{})
		want("rotated", document(), []string{first, second, third, fourth}, false, false, false, true)
		file, err := s.ExportLicense(t.Context(), s.p, id, request.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		want("exported", file.Doc, []string{first, fourth}, false, true)
		err = s.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.InsertKey(t.Context(), store.Key{Env: testEnv, License: id, ID: "old", Imported: true,
				Digest: access.Digest(licensing.HashKey("1234")).String(), CreatedAt: tx.Now()})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		s.ledger.Announce([]ledger.Committed{{Env: testEnv, License: id, Notice: ledger.LicenseChanged}})
		want("imported", document(), []string{fourth, "1234"}, true, false)
	})
}
