package recovery

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

// maxMember limits how much of an archive is read at once. A row of the log can be far larger than
// a chunk should be.
const maxMember = 256 << 20

// Restore fills an empty database from an archive, on either engine. It checks everything before it
// keeps anything: the archive's manifest, its MAC under the sealing key, and the whole log. It
// raises the epoch. From the first start, a fence is in place, because leases that were granted
// after the backup are unknown. The error is Conflict if the database is not empty, and Invalid if
// the archive is damaged, was changed or belongs to another sealing key. After a final backup
// nothing is missing, and there is no fence. Config needs DB, Ring and Dir.
func Restore(ctx context.Context, c ledger.Config, r io.Reader, identities ...age.Identity) (Backup, error) {
	l := ledger.New(c)
	if err := l.BeginClock(ctx); err != nil {
		return Backup{}, fmt.Errorf("judging the clock: %w", err)
	}
	in, err := openBackup(r, l.Ring.Sealing(), identities)
	if err != nil {
		return Backup{}, err
	}
	seen, err := l.Witness.Load()
	if err != nil {
		return Backup{}, err
	}
	if seen.Deployment != "" && seen.Deployment != in.head.Deployment {
		return Backup{}, licensing.Errorf(licensing.Conflict, "the data folder belongs to deployment %s, but the backup belongs to %s", seen.Deployment, in.head.Deployment)
	}
	var restored Backup
	epoch := max(in.head.Epoch, seen.Epoch) + 1
	err = l.DB.Restore(ctx, in.head.Schema, func(tx *store.Tx) error {
		change := l.NewTx(tx, "system:restore")
		restored, err = restore(ctx, change, in, epoch)
		if err != nil {
			return err
		}
		return change.Close(ctx)
	})
	if err != nil {
		return Backup{}, err
	}
	// The database is no longer empty. From now on, Start compares it with this testimony.
	return restored, l.Witness.Begin(restored.Deployment, epoch, nil)
}

// restore loads an archive and proves that it is complete.
func restore(ctx context.Context, tx *ledger.Tx, in *backupReader, epoch int64) (Backup, error) {
	b, err := in.read(func(chunk BackupChunk, data []byte) error { return loadChunk(ctx, tx.Tx, chunk, data) })
	if err != nil {
		return Backup{}, err
	}
	d, _, err := tx.Deployment(ctx)
	if err != nil {
		return Backup{}, err
	}
	if d.ID != b.Deployment || d.Epoch != b.Epoch {
		return Backup{}, damaged("its deployment differs from the one in its head")
	}
	envs, err := tx.KeyEnvs(ctx)
	if err != nil {
		return Backup{}, err
	}
	reasons := map[licensing.Env]string{}
	for _, env := range envs {
		if err := verifyRestored(ctx, tx.Tx, b, env); err != nil {
			return Backup{}, err
		}
		rows, err := ledger.Reconcile(ctx, tx.Tx, env, nil)
		if err != nil {
			return Backup{}, err
		}
		if !rows.Agrees() {
			if b.Mismatches == nil {
				b.Mismatches = map[licensing.Env][]audit.Mismatch{}
			}
			b.Mismatches[env] = rows.Mismatches
		}
		reasons[env] = "restored from a " + b.kind() + " of " + b.At.UTC().Format("2006-01-02T15:04:05Z")
	}
	if b.Final { // its source has stopped writing, so nothing is missing
		if err := tx.Reopen(ctx); err != nil {
			return Backup{}, err
		}
		return b, tx.BeginEpoch(ctx, licensing.BackupRestored, b.Epoch, epoch, reasons)
	}
	return b, tx.Fence(ctx, licensing.BackupRestored, b.Epoch, epoch, time.Time{}, reasons)
}

// verifyRestored verifies a restored log against its own head and against the manifest's head.
func verifyRestored(ctx context.Context, tx *store.Tx, b Backup, env licensing.Env) error {
	outside, err := b.logHead(env)
	if err != nil {
		return err
	}
	stored, err := tx.LogHead(ctx, env)
	if err != nil {
		return err
	}
	m, err := ledger.Material(ctx, tx, env)
	if err != nil {
		return err
	}
	key, err := m.LogKey()
	if err != nil {
		return err
	}
	strays, err := tx.StrayLog(ctx, env)
	if err != nil {
		return err
	}
	report, err := audit.Verify(audit.Log{
		Key: audit.VerifierKey(outside.Origin, key), Head: stored.Signed, Tile: ledger.TileReader(ctx, tx, env),
		Strays: strays, Rows: ledger.PlacedRows(ctx, tx, env),
	}, outside)
	if err != nil {
		return err
	}
	if !report.Whole() {
		return damaged("the log of %s is incomplete: %s", env, report.Findings[0])
	}
	return nil
}

func loadChunk(ctx context.Context, tx *store.Tx, chunk BackupChunk, data []byte) error {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	table, err := tx.LoadTable(ctx, chunk.Table, head)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(rest) {
		if err := table.Row(ctx, line); err != nil {
			return err
		}
	}
	return table.Flush(ctx)
}

func damaged(format string, args ...any) error {
	return licensing.Errorf(licensing.Invalid, "the backup is damaged or was changed: %s", fmt.Sprintf(format, args...))
}

type backupReader struct {
	tar     *tar.Reader
	packed  *gzip.Reader
	sealing *signing.SealingKey
	head    BackupHead
}

func openBackup(r io.Reader, sealing *signing.SealingKey, identities []age.Identity) (*backupReader, error) {
	plain, err := age.Decrypt(r, append([]age.Identity{sealing.Identity()}, identities...)...)
	if err != nil {
		return nil, licensing.Errorf(licensing.Invalid, "opening the backup: %w", err)
	}
	packed, err := gzip.NewReader(plain)
	if err != nil {
		return nil, damaged("%v", err)
	}
	in := &backupReader{tar: tar.NewReader(packed), packed: packed, sealing: sealing}
	text, err := in.member(headName)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &in.head); err != nil {
		return nil, damaged("%v", err)
	}
	if in.head.Format != backupFormat {
		return nil, licensing.Errorf(licensing.Invalid, "the backup has format %d, but this program supports only format %d", in.head.Format, backupFormat)
	}
	return in, nil
}

// read calls load for each chunk and returns the manifest, which describes exactly the chunks that
// were read. The results of load are valid only if read succeeds.
func (in *backupReader) read(load func(BackupChunk, []byte) error) (Backup, error) {
	var got []BackupChunk
	for {
		h, err := in.tar.Next()
		if err != nil {
			return Backup{}, damaged("it ends early: %v", err)
		}
		data, err := in.data(h)
		if err != nil {
			return Backup{}, err
		}
		if h.Name == ManifestName {
			return in.manifest(data, got)
		}
		chunk, err := describe(h.Name, len(got), data)
		if err != nil {
			return Backup{}, err
		}
		if err := load(chunk, data); err != nil {
			return Backup{}, err
		}
		got = append(got, chunk)
	}
}

// describe identifies a chunk by its name and bytes.
func describe(name string, n int, data []byte) (BackupChunk, error) {
	sum := sha256.Sum256(data)
	chunk := BackupChunk{Size: int64(len(data)), Rows: int64(bytes.Count(data, []byte("\n"))) - 1, SHA256: hex.EncodeToString(sum[:])}
	if _, err := fmt.Sscanf(name, fmt.Sprintf("%06d-", n)+"%s", &chunk.Table); err != nil {
		return chunk, damaged("%s is out of order", name)
	}
	table, ok := bytes.CutSuffix([]byte(chunk.Table), []byte(".jsonl"))
	if !ok {
		return chunk, damaged("%s is not part of a table", name)
	}
	chunk.Table = string(table)
	return chunk, nil
}

func (in *backupReader) manifest(text []byte, got []BackupChunk) (b Backup, err error) {
	mac, err := in.member(MacName)
	if err != nil {
		return b, err
	}
	if !in.sealing.CheckMAC(text, mac) {
		return b, damaged("the manifest was not written by a server with this sealing key")
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, damaged("%v", err)
	}
	if b.BackupHead != in.head {
		return b, damaged("its head belongs to another backup")
	}
	if len(b.Chunks) != len(got) {
		return b, damaged("it has %d of %d parts", len(got), len(b.Chunks))
	}
	for i, want := range b.Chunks {
		if got[i] != want {
			return b, damaged("part %d of table %s has been changed", i, want.Table)
		}
	}
	if _, err := in.tar.Next(); !errors.Is(err, io.EOF) {
		return b, damaged("there is data after its end")
	}
	// Reading to the end makes age and gzip verify the rest.
	if _, err := io.Copy(io.Discard, in.packed); err != nil {
		return b, damaged("%v", err)
	}
	return b, nil
}

func (in *backupReader) member(name string) ([]byte, error) {
	h, err := in.tar.Next()
	if err != nil {
		return nil, damaged("it ends early: %v", err)
	}
	if h.Name != name {
		return nil, damaged("%s is missing", name)
	}
	return in.data(h)
}

func (in *backupReader) data(h *tar.Header) ([]byte, error) {
	if h.Size > maxMember {
		return nil, damaged("%s has %d bytes", h.Name, h.Size)
	}
	data, err := io.ReadAll(in.tar)
	if err != nil {
		return nil, damaged("%v", err)
	}
	return data, nil
}
