package recovery

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	// backupFormat is the version of the archive format.
	backupFormat = 1
	// chunkSize is the approximate size of one archive member, which is a part of a table.
	chunkSize    = 1 << 20
	headName     = "backup.json"
	ManifestName = "manifest.json"
	MacName      = "manifest.mac"
)

// A Backup describes an archive. An archive is a tar file, compressed with gzip and encrypted with
// age. It contains a head, then every table as lines of JSON in chunks, in the same form for both
// engines. The manifest and its MAC under the sealing key come last.
type Backup struct {
	BackupHead
	Chunks []BackupChunk   `json:"chunks"`
	Heads  []BackupLogHead `json:"heads"`
	// Mismatches are differences between the rows and the log that a restore found, by environment.
	// They do not prevent the restore.
	Mismatches map[licensing.Env][]audit.Mismatch `json:"mismatches,omitempty"`
}

// BackupHead is the information that is needed before the tables are read.
type BackupHead struct {
	Format     int       `json:"copyhold_backup"`
	Deployment string    `json:"deployment"`
	Epoch      int64     `json:"epoch"`
	Schema     int64     `json:"schema"` // version of the tables
	Engine     string    `json:"engine"` // of the source; the archive can be restored to either engine
	At         time.Time `json:"at"`
	Final      bool      `json:"final,omitempty"` // the source wrote nothing after it
}

func (h BackupHead) kind() string {
	if h.Final {
		return "final backup"
	}
	return "backup"
}

// A BackupChunk is a part of a table.
type BackupChunk struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// BackupLogHead is the log's head at the time of the backup.
type BackupLogHead struct {
	Env    licensing.Env `json:"environment"`
	Key    string        `json:"key"`    // verifier key
	Signed string        `json:"signed"` // C2SP checkpoint
}

// Backup writes a consistent copy of the whole database while the server runs. The archive can be
// opened with the sealing key and by the given recipients.
func (r *Recovery) Backup(ctx context.Context, p access.Principal, w io.Writer, recipients ...age.Recipient) (Backup, error) {
	if err := mayBackup(p); err != nil {
		return Backup{}, err
	}
	if r.ledger.DB.Closed().IsZero() {
		if err := r.ledger.SequenceWhatCan(ctx); err != nil {
			return Backup{}, err
		}
	}
	b, err := r.archive(ctx, w, recipients)
	if err != nil || b.Final {
		return b, err
	}
	return b, r.noteBackup(ctx, p, b)
}

// FinalBackup closes the database permanently, then writes it like Backup. Every later write fails
// with Unavailable, in all processes and after restarts. The restored server continues in its
// place. If the archive was not received completely, FinalBackup can be called again with the same
// result.
func (r *Recovery) FinalBackup(ctx context.Context, p access.Principal, w io.Writer, recipients ...age.Recipient) (Backup, error) {
	if err := mayBackup(p); err != nil {
		return Backup{}, err
	}
	if r.ledger.DB.Closed().IsZero() {
		if err := r.ledger.SequenceWhatCan(ctx); err != nil {
			return Backup{}, err
		}
		err := r.ledger.DB.CloseForGood(ctx, func(tx *store.Tx) error {
			c := r.ledger.NewTx(tx, p.Actor)
			for _, env := range r.ledger.Ring.Envs() {
				if err := c.Note(licensing.BackupFinal, licensing.Event{Env: env}, entry.Backup{At: c.Now(), Epoch: r.ledger.Ring.Epoch(env)}); err != nil {
					return err
				}
			}
			return c.Close(ctx)
		})
		if err != nil {
			return Backup{}, err
		}
	}
	return r.archive(ctx, w, recipients)
}

func mayBackup(p access.Principal) error {
	if err := request.Require(p, access.BackupTake); err != nil {
		return err
	}
	if !p.Spans && p.Kind != access.KindSystem {
		return licensing.Errorf(licensing.Forbidden, "a backup contains every environment: use a token that spans all environments")
	}
	return nil
}

// archive writes a consistent copy of the database to w.
func (r *Recovery) archive(ctx context.Context, w io.Writer, recipients []age.Recipient) (Backup, error) {
	schema, err := r.ledger.DB.Schema(ctx)
	if err != nil {
		return Backup{}, err
	}
	sealed, err := age.Encrypt(w, append([]age.Recipient{r.ledger.Ring.Sealing().Recipient()}, recipients...)...)
	if err != nil {
		return Backup{}, fmt.Errorf("encrypting the backup: %w", err)
	}
	packed := gzip.NewWriter(sealed)
	out := &backupWriter{tar: tar.NewWriter(packed)}
	err = r.ledger.View(ctx, func(tx *store.Tx) error { return out.write(ctx, r, tx, schema) })
	if err != nil {
		return Backup{}, err
	}
	for _, c := range []io.Closer{out.tar, packed, sealed} {
		if err := c.Close(); err != nil {
			return Backup{}, fmt.Errorf("writing the backup: %w", err)
		}
	}
	return out.manifest, nil
}

// noteBackup records the backup in the log of each environment.
func (r *Recovery) noteBackup(ctx context.Context, p access.Principal, b Backup) error {
	return r.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		for _, h := range b.Heads {
			if err := tx.Note(licensing.BackupTaken, licensing.Event{Env: h.Env}, entry.Backup{At: b.At, Epoch: b.Epoch}); err != nil {
				return err
			}
		}
		return nil
	})
}

type backupWriter struct {
	tar      *tar.Writer
	manifest Backup
	columns  []byte
	chunk    bytes.Buffer
	rows     int64
}

func (w *backupWriter) write(ctx context.Context, a *Recovery, tx *store.Tx, schema int64) error {
	d, _, err := tx.Deployment(ctx)
	if err != nil {
		return err
	}
	closed, err := tx.Closed(ctx)
	if err != nil {
		return err
	}
	w.manifest.BackupHead = BackupHead{backupFormat, d.ID, d.Epoch, schema, a.ledger.DB.Engine(), tx.Now(), !closed.IsZero()}
	if err := w.json(headName, w.manifest.BackupHead); err != nil {
		return err
	}
	tables, err := tx.Tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := w.table(ctx, tx, table); err != nil {
			return fmt.Errorf("backing up table %s: %w", table, err)
		}
	}
	for _, env := range a.ledger.Ring.Envs() {
		h, err := a.ledger.HeadIn(ctx, tx, env)
		if err != nil {
			return err
		}
		w.manifest.Heads = append(w.manifest.Heads, BackupLogHead{env, h.Key, h.Signed})
	}
	text, err := json.MarshalIndent(w.manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := w.member(ManifestName, text); err != nil {
		return err
	}
	return w.member(MacName, a.ledger.Ring.Sealing().MAC(text))
}

// table writes a table's rows in chunks. The first line of each chunk contains the columns.
func (w *backupWriter) table(ctx context.Context, tx *store.Tx, table string) error {
	w.columns = nil
	err := tx.DumpTable(ctx, table, func(line []byte) error {
		if w.columns == nil {
			w.columns = bytes.Clone(line)
			return nil
		}
		if w.rows == 0 {
			w.line(w.columns)
		}
		w.line(line)
		w.rows++
		if w.chunk.Len() < chunkSize {
			return nil
		}
		return w.flush(table)
	})
	if err != nil || w.rows == 0 {
		return err
	}
	return w.flush(table)
}

func (w *backupWriter) line(text []byte) {
	w.chunk.Write(text)
	w.chunk.WriteByte('\n')
}

func (w *backupWriter) flush(table string) error {
	sum := sha256.Sum256(w.chunk.Bytes())
	w.manifest.Chunks = append(w.manifest.Chunks, BackupChunk{table, w.rows, int64(w.chunk.Len()), hex.EncodeToString(sum[:])})
	err := w.member(chunkName(len(w.manifest.Chunks)-1, table), w.chunk.Bytes())
	w.chunk.Reset()
	w.rows = 0
	return err
}

func chunkName(n int, table string) string { return fmt.Sprintf("%06d-%s.jsonl", n, table) }

func (w *backupWriter) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.member(name, text)
}

func (w *backupWriter) member(name string, data []byte) error {
	h := &tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: w.manifest.At, Format: tar.FormatPAX}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if _, err := w.tar.Write(data); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// logHead returns the log head of an environment after verifying its signature.
func (b Backup) logHead(env licensing.Env) (audit.Head, error) {
	for _, h := range b.Heads {
		if h.Env == env {
			return audit.OpenHead(h.Signed, h.Key)
		}
	}
	return audit.Head{}, licensing.Errorf(licensing.Invalid, "the backup has no log head for %s", env)
}
