package authority

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// saved returns an authority with a few entries and its backup.
func saved(t *testing.T, db *store.DB, recipients ...age.Recipient) (*Authority, []byte) {
	t.Helper()
	a := ready(t, db, "", nil)
	if err := note(t.Context(), a, "lic_1", "søren", "x", `quo"te`); err != nil {
		t.Fatal(err)
	}
	sell(t, a)
	if _, err := a.FeatureKey(t.Context(), owner(), "lathe", "export"); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if _, err := a.Backup(t.Context(), owner(), &archive, recipients...); err != nil {
		t.Fatal(err)
	}
	return a, archive.Bytes()
}

func TestBackupRestoresIntoEitherEngine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, from *store.DB) {
		a, archive := saved(t, from)
		storetest.Each(t, func(t *testing.T, to *store.DB) {
			ctx, dir := t.Context(), t.TempDir()
			ring := signing.NewRing(a.ledger.Ring.Sealing())
			c := ledger.Config{DB: to, Ring: ring, Dir: dir}
			b, err := recovery.Restore(ctx, c, bytes.NewReader(archive))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := recovery.Restore(ctx, c, bytes.NewReader(archive)); licensing.CodeOf(err) != licensing.Conflict {
				t.Errorf("restored into a database that is not empty: %v", err)
			}
			restored := New(c)
			if err := restored.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if got := ring.Epoch(testEnv); got != b.Epoch+1 {
				t.Errorf("epoch %d after %d", got, b.Epoch)
			}
			if restored.ledger.FencedSince(testEnv).IsZero() {
				t.Error("no fence")
			}
			if ring.Issuer(testEnv) != a.ledger.Ring.Issuer(testEnv) || ring.KeySet(testEnv)[0] != a.ledger.Ring.KeySet(testEnv)[0] {
				t.Error("another issuer or key set")
			}
			compact, now, err := signed(ctx, restored, 1)
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, a, compact, now)
			report, err := restored.ledger.VerifyLog(ctx, owner())
			if err != nil || !report.Whole() {
				t.Fatalf("%v, %v", report.Findings, err)
			}
			page, err := restored.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1"}, request.PageOf{})
			if err != nil || len(page.Items) != 3 || page.Items[2].Subject != "søren" || page.Items[0].Subject != `quo"te` {
				t.Errorf("%+v, %v", page.Items, err)
			}
			raised, err := restored.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: licensing.BackupRestored}, request.PageOf{})
			if err != nil || len(raised.Items) != 1 {
				t.Errorf("%d entries record the restore, %v", len(raised.Items), err)
			}
		})
	})
}

// TestRestoreNamesRowsThatTheLogDoesNotBearOut checks that a backup with such rows is restored
// anyway, because it is as good as its database was.
func TestRestoreNamesRowsThatTheLogDoesNotBearOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		s := openShop(t, db)
		l := s.issue().License
		if _, err := raw.ExecContext(t.Context(), `UPDATE license SET plan = 'other' WHERE id = $1`, string(l.ID)); err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		taken, err := s.Backup(t.Context(), owner(), &archive)
		if err != nil || len(taken.Mismatches) != 0 {
			t.Fatal(taken.Mismatches, err)
		}
		storetest.Each(t, func(t *testing.T, to *store.DB) {
			b, err := recovery.Restore(t.Context(), ledger.Config{DB: to, Ring: signing.NewRing(s.ledger.Ring.Sealing())}, bytes.NewReader(archive.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			found := b.Mismatches[testEnv]
			if len(b.Mismatches) != 1 || len(found) != 1 || found[0].Row != string(l.ID) || !strings.Contains(found[0].What, "plan: the row has other, but the log entry has studio") {
				t.Errorf("%+v", b.Mismatches)
			}
		})
	})
}

func TestBackupIsOpenedByARecipientToo(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	a, archive := saved(t, storetest.SQLite(t), id.Recipient())
	if _, err := age.Decrypt(bytes.NewReader(archive), id); err != nil {
		t.Fatal(err)
	}
	restore := func(sealing *signing.SealingKey, ids ...age.Identity) error {
		_, err := recovery.Restore(t.Context(), ledger.Config{DB: storetest.SQLite(t), Ring: signing.NewRing(sealing)}, bytes.NewReader(archive), ids...)
		return err
	}
	if err := restore(a.ledger.Ring.Sealing(), id); err != nil {
		t.Fatal(err)
	}
	stranger, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(stranger); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("opened with another sealing key: %v", err)
	}
	if err := restore(stranger, id); licensing.CodeOf(err) != licensing.Invalid {
		t.Errorf("a recipient without the sealing key vouches for it: %v", err)
	}
}

// repack opens an archive, lets edit change its members, and seals it again. Anyone who knows the
// recipient, which is public, can do this.
func repack(t *testing.T, archive []byte, sealing *signing.SealingKey, edit func(name string, data []byte) ([]byte, bool)) []byte {
	t.Helper()
	plain, err := age.Decrypt(bytes.NewReader(archive), sealing.Identity())
	if err != nil {
		t.Fatal(err)
	}
	packed, err := gzip.NewReader(plain)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, sealing.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	again := gzip.NewWriter(sealed)
	w := tar.NewWriter(again)
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		data, keep := edit(h.Name, data)
		if !keep {
			continue
		}
		h.Size = int64(len(data))
		if err := errors.Join(w.WriteHeader(h), second(w.Write(data))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), again.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func second(_ int, err error) error { return err }

func TestTamperedBackupIsRefusedAndLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, archive := saved(t, db)
		sealing := a.ledger.Ring.Sealing()
		flipped := bytes.Clone(archive)
		flipped[len(flipped)/2] ^= 1
		bad := map[string][]byte{
			"flipped bit": flipped,
			"cut off":     archive[:len(archive)-100],
			"edited table": repack(t, archive, sealing, func(name string, data []byte) ([]byte, bool) {
				return bytes.ReplaceAll(data, []byte(`lic_1`), []byte(`lic_2`)), true
			}),
			"dropped table": repack(t, archive, sealing, func(name string, data []byte) ([]byte, bool) {
				return data, !strings.Contains(name, "feature_key")
			}),
			"no MAC": repack(t, archive, sealing, func(name string, data []byte) ([]byte, bool) { return data, name != recovery.MacName }),
			"edited manifest": repack(t, archive, sealing, func(name string, data []byte) ([]byte, bool) {
				if name == recovery.ManifestName {
					data = bytes.Replace(data, []byte(`"epoch": 1`), []byte(`"epoch": 9`), 1)
				}
				return data, true
			}),
			"nothing": nil,
		}
		to := storetest.SQLite(t)
		for name, text := range bad {
			_, err := recovery.Restore(t.Context(), ledger.Config{DB: to, Ring: signing.NewRing(sealing)}, bytes.NewReader(text))
			if licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := recovery.Restore(t.Context(), ledger.Config{DB: to, Ring: signing.NewRing(sealing)}, bytes.NewReader(archive)); err != nil {
			t.Errorf("the failed restore left rows: %v", err)
		}
	})
}

func TestServerKnowsThatItsDatabaseWasRolledBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, dir := t.Context(), t.TempDir()
		a := ready(t, db, dir, nil)
		start := func(db *store.DB) *Authority {
			t.Helper()
			b := New(ledger.Config{DB: db, Ring: signing.NewRing(a.ledger.Ring.Sealing()), Dir: dir})
			if err := b.Start(ctx); err != nil {
				t.Fatal(err)
			}
			return b
		}
		if err := a.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.ledger.Witness.Save(a.ledger.Heads()); err != nil {
			t.Fatal(err)
		}
		b := start(db)
		if !b.ledger.FencedSince(testEnv).IsZero() || b.ledger.Ring.Epoch(testEnv) != 1 {
			t.Fatal("a restart raises a fence")
		}
		// The database will not have the head that is witnessed now.
		head := *b.ledger.Head(testEnv)
		head.Size += 10
		if err := b.ledger.Witness.Begin(deploymentOf(t, b), 1, map[licensing.Env]*license.Head{testEnv: &head}); err != nil {
			t.Fatal(err)
		}
		c := start(db)
		if c.ledger.FencedSince(testEnv).IsZero() || c.ledger.Ring.Epoch(testEnv) != 2 {
			t.Fatalf("fenced since %v, epoch %d", c.ledger.FencedSince(testEnv), c.ledger.Ring.Epoch(testEnv))
		}
		if head := c.ledger.Head(testEnv); !strings.HasSuffix(head.Origin, "/log/2") {
			t.Errorf("origin %s", head.Origin)
		}
		page, err := c.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: licensing.ViolationRollback}, request.PageOf{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("%d violations, %v", len(page.Items), err)
		}
		d := start(db)
		if d.ledger.Ring.Epoch(testEnv) != 2 || !d.ledger.FencedSince(testEnv).Equal(c.ledger.FencedSince(testEnv)) {
			t.Error("the next start begins another epoch or fence")
		}
		other := storetest.SQLite(t)
		if err := New(ledger.Config{DB: other, Ring: signing.NewRing(a.ledger.Ring.Sealing()), Dir: dir}).Start(ctx); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("started on another deployment's database: %v", err)
		}
	})
}

func deploymentOf(t *testing.T, a *Authority) (id string) {
	t.Helper()
	err := a.ledger.View(t.Context(), func(tx *store.Tx) error {
		d, _, err := tx.Deployment(t.Context())
		id = d.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}
