package audit_test

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
)

const issuer = "urn:copyhold:01jd0000000000000000000000:production"

// A memory log contains in maps what a database stores.
type memory struct {
	key   ed25519.PrivateKey
	tree  audit.Tree
	tiles map[[2]int64][]byte
	rows  []audit.PlacedRow
	head  string
}

func newMemory() *memory {
	return &memory{key: ed25519.NewKeyFromSeed(make([]byte, 32)), tiles: map[[2]int64][]byte{}}
}

func (m *memory) public() ed25519.PublicKey { return m.key.Public().(ed25519.PublicKey) }
func (m *memory) vkey() string              { return audit.VerifierKey(audit.Origin(issuer, 1), m.public()) }

func (m *memory) read(level int, n int64) ([]byte, error) {
	return m.tiles[[2]int64{int64(level), n}], nil
}

func (m *memory) append(t testing.TB, r *audit.Row) {
	t.Helper()
	m.rows = append(m.rows, audit.PlacedRow{ID: r.ID(), First: m.tree.Size(), Count: int64(r.Len()), Body: r.Body()})
	tree, tiles := m.tree.Append(r.Leaves())
	m.tree = tree
	for _, tile := range tiles {
		m.tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Hashes
	}
	m.sign(t)
}

func (m *memory) sign(t testing.TB) {
	t.Helper()
	h := audit.Head{Origin: audit.Origin(issuer, 1), Size: m.tree.Size(), Root: m.tree.Root()}
	signed, err := h.Sign(m.public(), func(b []byte) []byte { return ed25519.Sign(m.key, b) })
	if err != nil {
		t.Fatal(err)
	}
	m.head = signed
}

func (m *memory) log() audit.Log {
	return audit.Log{Key: m.vkey(), Head: m.head, Tile: m.read, Rows: seq(m.rows)}
}

func seq(rows []audit.PlacedRow) iter.Seq2[audit.PlacedRow, error] {
	return func(yield func(audit.PlacedRow, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func event(n int) licensing.Event {
	return licensing.Event{
		Type: "lease.begun", Version: 1, Env: "production", At: time.UnixMicro(1_700_000_000_000_000 + int64(n)),
		Actor: "license:CH-1", License: "lic_1", Product: "lathe", Customer: "cus_1", Pool: "seats",
		Subject: fmt.Sprintf("søren <%d>", n), Request: "r1", Data: json.RawMessage(`{"units": 1, "note":"<&>"}`),
	}
}

func fill(t testing.TB, rows, entries int) *memory {
	m := newMemory()
	for i := range rows {
		r := audit.NewRow(fmt.Sprintf("row_%d", i))
		for j := range entries {
			if _, err := r.Add(event(i*entries+j), audit.Salt{byte(i), byte(j)}); err != nil {
				t.Fatal(err)
			}
		}
		m.append(t, r)
	}
	return m
}

func TestTreeAgreesWithTlog(t *testing.T) {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = hashes[x]
		}
		return out, nil
	})
	random := rand.New(rand.NewPCG(1, 2))
	m := newMemory()
	for m.tree.Size() < 140_000 {
		n := 1 + random.IntN(3000)
		var leaves []byte
		for range n {
			h := tlog.RecordHash(fmt.Append(nil, len(hashes)))
			stored, err := tlog.StoredHashesForRecordHash(m.tree.Size()+int64(len(leaves)/32), h, reader)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, stored...)
			leaves = append(leaves, h[:]...)
		}
		tree, tiles := m.tree.Append(leaves)
		for _, tile := range tiles {
			m.tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Hashes
		}
		want, err := tlog.TreeHash(tree.Size(), reader)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Root() != want {
			t.Fatalf("size %d: another root", tree.Size())
		}
		if m.tree, err = audit.LoadTree(tree.Size(), m.read); err != nil {
			t.Fatal(err)
		}
		if m.tree.Root() != want {
			t.Fatalf("size %d: another root after loading", tree.Size())
		}
	}
}

func TestEmptyTreeHasTheRootOfRFC6962(t *testing.T) {
	want, _ := tlog.TreeHash(0, nil)
	if got := (audit.Tree{}).Root(); got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestRowKeepsItsBytes(t *testing.T) {
	r := audit.NewRow("row_1")
	leaf, err := r.Add(event(7), audit.Salt{1})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := audit.ReadRow(r.Body())
	if err != nil {
		t.Fatal(err)
	}
	if got := entries[0].Hash(); got != leaf {
		t.Errorf("leaf hash %s, want %s", audit.HashText(got), audit.HashText(leaf))
	}
	again, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, r.Body()) {
		t.Errorf("encoding again changes the row:\n%s\n%s", again, r.Body())
	}
	var p audit.Payload
	if err := json.Unmarshal(entries[0].Payload, &p); err != nil || p.Subject != event(7).Subject {
		t.Errorf("payload %+v, %v", p, err)
	}
	if bytes.Contains(entries[0].Leaf, []byte("ren")) {
		t.Error("the leaf names the subject")
	}
}

func TestRowRefusesDataThatIsNotJSON(t *testing.T) {
	e := event(1)
	e.Data = json.RawMessage(`{"a":`)
	if _, err := audit.NewRow("r").Add(e, audit.Salt{}); err == nil {
		t.Fatal("accepted")
	}
}

func TestVerifyNamesWhatWasChanged(t *testing.T) {
	const rows, each = 200, 3
	edit := func(m *memory, i int, f func(*audit.PlacedRow)) {
		m.rows = slices.Clone(m.rows)
		m.rows[i].Body = bytes.Clone(m.rows[i].Body)
		f(&m.rows[i])
	}
	tests := []struct {
		name  string
		wreck func(t *testing.T, m *memory)
		first int64 // index the first finding names
		says  string
	}{
		{"flip a leaf", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) { r.Body = bytes.Replace(r.Body, []byte("lic_1"), []byte("lic_2"), 1) })
		}, 150, "changed"},
		{"flip a payload", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) {
				i := bytes.LastIndex(r.Body, []byte(`"r1"`))
				r.Body[i+1] = 'x'
			})
		}, 152, "digest"},
		{"flip a salt", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) { r.Body = bytes.Replace(r.Body, []byte(`"salt":"M`), []byte(`"salt":"N`), 1) })
		}, 150, "digest"},
		{"break a row", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) { r.Body = r.Body[:10] })
		}, 150, "reading"},
		{"erase in secret", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) {
				body, err := audit.Erase(r.Body, 1)
				if err != nil {
					t.Fatal(err)
				}
				r.Body = body
			})
		}, 151, "no entry records"},
		{"drop a row", func(_ *testing.T, m *memory) { m.rows = slices.Delete(slices.Clone(m.rows), 50, 51) }, 150, "missing"},
		{"drop a row's body", func(_ *testing.T, m *memory) { edit(m, 50, func(r *audit.PlacedRow) { r.Body = nil }) }, 150, "missing"},
		{"drop a row and close the gap", func(_ *testing.T, m *memory) {
			m.rows = slices.Delete(slices.Clone(m.rows), 50, 51)
			for i := 50; i < len(m.rows); i++ {
				m.rows[i].First -= each
			}
		}, 150, "changed"},
		{"drop an entry of a row", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) {
				entries, err := audit.ReadRow(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				r.Body, _ = json.Marshal(entries[:2])
			})
		}, 152, "2 entries"},
		{"insert a row", func(_ *testing.T, m *memory) {
			extra := m.rows[10]
			extra.ID, extra.First = "row_x", 150
			m.rows = slices.Insert(slices.Clone(m.rows), 50, extra)
		}, 150, "changed"},
		{"insert at the end", func(_ *testing.T, m *memory) {
			extra := m.rows[10]
			extra.ID, extra.First = "row_x", rows*each
			m.rows = append(slices.Clone(m.rows), extra)
		}, rows * each, "not covered"},
		{"swap two rows", func(_ *testing.T, m *memory) {
			m.rows = slices.Clone(m.rows)
			m.rows[50].Body, m.rows[60].Body = m.rows[60].Body, m.rows[50].Body
		}, 150, "changed"},
		{"swap two entries", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) {
				entries, err := audit.ReadRow(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				entries[0], entries[1] = entries[1], entries[0]
				r.Body, _ = json.Marshal(entries)
			})
		}, 150, "changed"},
		{"truncate the rows", func(_ *testing.T, m *memory) { m.rows = m.rows[:190] }, 570, "missing"},
		{"flip a hash", func(_ *testing.T, m *memory) {
			m.tiles[[2]int64{0, 1}] = slices.Clone(m.tiles[[2]int64{0, 1}])
			m.tiles[[2]int64{0, 1}][5] ^= 1
		}, 256, "level above"},
		{"flip a row and its hash", func(t *testing.T, m *memory) {
			edit(m, 50, func(r *audit.PlacedRow) { r.Body = bytes.Replace(r.Body, []byte("lic_1"), []byte("lic_2"), 1) })
			entries, err := audit.ReadRow(m.rows[50].Body)
			if err != nil {
				t.Fatal(err)
			}
			h := entries[0].Hash()
			copy(m.tiles[[2]int64{0, 0}][150*32:], h[:])
		}, 0, "level above"},
		{"forge the head", func(_ *testing.T, m *memory) {
			m.head = strings.Replace(m.head, fmt.Sprint(rows*each), fmt.Sprint(rows*each-3), 1)
		}, -1, "opening log head"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fill(t, rows, each)
			if report := verify(t, m.log()); !report.Whole() {
				t.Fatalf("whole log has findings: %v", report.Findings)
			}
			test.wreck(t, m)
			live := verify(t, m.log())
			named(t, live, test.first, test.says)
			var export bytes.Buffer
			if err := audit.Export(&export, m.log()); err != nil {
				t.Fatal(err)
			}
			offline, err := audit.OpenExport(&export)
			if err != nil {
				t.Fatal(err)
			}
			named(t, verify(t, offline), test.first, test.says)
		})
	}
}

func verify(t *testing.T, l audit.Log, outside ...audit.Head) audit.Report {
	t.Helper()
	report, err := audit.Verify(l, outside...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func named(t *testing.T, r audit.Report, first int64, says string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.First == first && strings.Contains(f.String(), says) {
			return
		}
	}
	t.Errorf("nothing names entry %d %q: %v", first, says, r.Findings)
}

func TestVerifyFindsTruncationByAHeadFromOutside(t *testing.T) {
	m := fill(t, 40, 2)
	outside, err := audit.OpenHead(m.head, m.vkey())
	if err != nil {
		t.Fatal(err)
	}
	short := fill(t, 30, 2)
	if report := verify(t, short.log()); !report.Whole() {
		t.Fatal("a shorter log is whole by itself")
	}
	named(t, verify(t, short.log(), outside), 60, "truncated")
	longer := fill(t, 50, 2)
	if report := verify(t, longer.log(), outside); !report.Whole() {
		t.Errorf("a log that grew contradicts its older head: %v", report.Findings)
	}
	other := fill(t, 60, 2)
	outside.Root[0] ^= 1
	named(t, verify(t, other.log(), outside), -1, "do not have the root")
}

func TestVerifyAcceptsAnErasureThatAnEntryTells(t *testing.T) {
	m := fill(t, 5, 2)
	entries, err := audit.ReadRow(m.rows[2].Body)
	if err != nil {
		t.Fatal(err)
	}
	erased := event(99)
	erased.Type, erased.Subject = licensing.PayloadErased, audit.HashText(entries[1].Hash())
	r := audit.NewRow("row_erasure")
	if _, err := r.Add(erased, audit.Salt{9}); err != nil {
		t.Fatal(err)
	}
	m.append(t, r)
	if m.rows[2].Body, err = audit.Erase(m.rows[2].Body, 1); err != nil {
		t.Fatal(err)
	}
	report := verify(t, m.log())
	if !report.Whole() || report.Erased != 1 {
		t.Fatalf("erased %d, findings %v", report.Erased, report.Findings)
	}
}

func TestExportNamesAnUnreadableLine(t *testing.T) {
	m := fill(t, 5, 2)
	var export bytes.Buffer
	if err := audit.Export(&export, m.log()); err != nil {
		t.Fatal(err)
	}
	text := bytes.Replace(export.Bytes(), []byte(`{"row":"row_3"`), []byte(`{"row":"row_3`), 1)
	l, err := audit.OpenExport(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	named(t, verify(t, l), 6, "unreadable")
	cut, err := audit.OpenExport(bytes.NewReader(export.Bytes()[:export.Len()-200]))
	if err != nil {
		t.Fatal(err)
	}
	named(t, verify(t, cut), 8, "missing")
}

// The prover imports the standard library only.
func TestProofsHoldForAStranger(t *testing.T) {
	dir := t.TempDir()
	prover := filepath.Join(dir, "prover")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", prover, "testdata/prover/main.go").CombinedOutput(); err != nil {
		t.Fatalf("building the prover: %v\n%s", err, out)
	}
	run := func(args ...string) error { return exec.CommandContext(t.Context(), prover, args...).Run() }
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	m := fill(t, 310, 1)
	for _, index := range []int64{0, 1, 100, 255, 256, 309} {
		proof, err := audit.ProveInclusion(m.head, index, m.read)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := audit.ReadRow(m.rows[index].Body)
		if err != nil {
			t.Fatal(err)
		}
		entry, text := file("entry", entries[0].Leaf), file("proof", []byte(proof.Text()))
		if err := run("inclusion", m.vkey(), entry, text); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
		changed := file("changed", bytes.Replace(entries[0].Leaf, []byte("lic_1"), []byte("lic_2"), 1))
		if err := run("inclusion", m.vkey(), changed, text); err == nil {
			t.Errorf("entry %d: a changed entry is proven too", index)
		}
	}
	for _, from := range []int{1, 7, 128, 255, 256, 300, 310} {
		old := fill(t, from, 1)
		h, err := audit.ParseHead(old.head)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := audit.ProveConsistency(m.head, int64(from), m.read)
		if err != nil {
			t.Fatal(err)
		}
		text := file("consistency", []byte(proof.Text()))
		if err := run("consistency", m.vkey(), h.RootText(), text); err != nil {
			t.Errorf("from %d: %v", from, err)
		}
		h.Root[3] ^= 1
		if err := run("consistency", m.vkey(), h.RootText(), text); err == nil {
			t.Errorf("from %d: another tree is continued too", from)
		}
	}
}

func TestProofIsNotBuiltFromAChangedTile(t *testing.T) {
	m := fill(t, 300, 1)
	m.tiles[[2]int64{0, 0}][40] ^= 1
	if _, err := audit.ProveInclusion(m.head, 5, m.read); err == nil {
		t.Fatal("proven")
	}
	if _, err := audit.ProveInclusion(m.head, 300, m.read); err == nil {
		t.Fatal("proven beyond the end")
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add("origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := audit.ParseHead(text)
		if err != nil {
			return
		}
		again, err := audit.ParseHead(h.Text())
		if err != nil || cmp.Compare(again.Text(), h.Text()) != 0 {
			t.Fatalf("%q is read as %q: %v", text, h.Text(), err)
		}
	})
}

func BenchmarkRowAdd(b *testing.B) {
	e := event(1)
	r := audit.NewRow("row_1")
	for b.Loop() {
		if r.Len() == 500 {
			r = audit.NewRow("row_1")
		}
		if _, err := r.Add(e, audit.Salt{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	leaves := make([]byte, 5000*32)
	var tree audit.Tree
	for b.Loop() {
		tree, _ = tree.Append(leaves)
		_ = tree.Root()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/entry")
}

func BenchmarkVerify(b *testing.B) {
	m := fill(b, 1000, 100)
	for b.Loop() {
		report, err := audit.Verify(m.log())
		if err != nil || !report.Whole() {
			b.Fatal(err, report.Findings)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/entry")
}
