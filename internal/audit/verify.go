package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"copyhold.dev/internal/licensing"
)

// maxFindings is the number of findings after which a verification stops.
const maxFindings = 100

// A PlacedRow is a stored row and its place in the tree. Body is empty if the
// row is missing and only its place remains.
type PlacedRow struct {
	ID    string
	First int64 // index of its first entry
	Count int64
	Body  []byte
}

// A Log is the input of a verification: a database or an export of one.
type Log struct {
	Key  string   // verifier key of the head, C2SP signed-note
	Head string   // signed
	Tile ReadTile // the stored hashes
	// Strays are ids of stored rows that have no place and do not wait for one.
	Strays []string
	Rows   iter.Seq2[PlacedRow, error]
}

// A Finding describes a fault. First and Last are indexes of entries, or -1
// if the fault is in the head.
type Finding struct {
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Row   string `json:"row,omitempty"`
	What  string `json:"what"`
}

// String writes the entries and the fault.
func (f Finding) String() string {
	switch {
	case f.First < 0:
		return "log head: " + f.What
	case f.First == f.Last:
		return "entry " + strconv.FormatInt(f.First, 10) + ": " + f.What
	}
	return fmt.Sprintf("entries %d to %d: %s", f.First, f.Last, f.What)
}

// A Report is the outcome of a verification. The log is intact if there are no findings.
type Report struct {
	Origin   string    `json:"origin"`
	Size     int64     `json:"size"` // entries under the head
	Root     string    `json:"root"`
	Rows     int64     `json:"rows"`
	Erased   int64     `json:"erased"` // payloads whose erasure is recorded in an entry
	Findings []Finding `json:"findings"`
}

// Whole reports whether there are no findings.
func (r Report) Whole() bool { return len(r.Findings) == 0 }

// Verify reads the complete log once. It rebuilds the tree from the stored hashes
// and compares its root with the signed head and with heads that were kept
// elsewhere. Then it compares every entry with its hash and every payload with its
// digest. An error means that reading failed, not that the log is wrong.
func Verify(l Log, outside ...Head) (Report, error) {
	v := verifier{log: l, missing: map[string]Finding{}, erases: map[string]bool{}}
	if err := v.heads(outside); err != nil {
		return Report{}, err
	}
	if err := v.rows(); err != nil {
		return Report{}, err
	}
	v.erasures()
	for _, id := range l.Strays {
		v.find(v.report.Size, v.report.Size, id, "row %s was inserted outside the log or has lost its place", id)
	}
	return v.report, nil
}

type verifier struct {
	log     Log
	report  Report
	leaves  []byte // every leaf hash, from the tiles
	missing map[string]Finding
	erases  map[string]bool
}

func (v *verifier) find(first, last int64, row, format string, args ...any) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{first, last, row, fmt.Sprintf(format, args...)})
	}
}

// heads rebuilds the tree from level-0 tiles and compares it with every head.
func (v *verifier) heads(outside []Head) error {
	head, err := OpenHead(v.log.Head, v.log.Key)
	if err != nil {
		v.find(-1, -1, "", "%v", err)
		if head, err = ParseHead(v.log.Head); err != nil {
			return nil //nolint:nilerr // the finding has the error, and without a head there is no tree to compare
		}
	}
	v.report.Origin, v.report.Size, v.report.Root = head.Origin, head.Size, head.RootText()
	known := slices.SortedFunc(slices.Values(append(slices.Clone(outside), head)), func(a, b Head) int {
		return cmp.Compare(a.Size, b.Size)
	})
	var tree Tree
	for n := int64(0); ; n++ {
		width := min(head.Size-n*tileWidth, tileWidth) * tlog.HashSize
		if width <= 0 {
			break
		}
		data, err := v.log.Tile(0, n)
		if err != nil {
			return fmt.Errorf("reading tile 0/%d: %w", n, err)
		}
		if int64(len(data)) < width {
			v.find(n*tileWidth+int64(len(data))/tlog.HashSize, head.Size-1, "", "hashes are missing")
			break
		}
		data = data[:width]
		for ; len(known) > 0 && known[0].Size < (n+1)*tileWidth && known[0].Size < head.Size; known = known[1:] {
			part, _ := tree.Append(data[:(known[0].Size-n*tileWidth)*tlog.HashSize])
			v.compare(part, known[0])
		}
		next, tiles := tree.Append(data)
		if err := v.upper(tiles); err != nil {
			return err
		}
		tree = next
		v.leaves = append(v.leaves, data...)
	}
	for _, h := range known {
		v.compare(tree, h)
	}
	return nil
}

// compare checks the tree at a size against a head.
func (v *verifier) compare(t Tree, h Head) {
	switch {
	case t.Size() < h.Size:
		v.find(t.Size(), h.Size-1, "", "truncated: a signed head has %d entries", h.Size)
	case t.Root() != h.Root:
		v.find(-1, -1, "", "the first %d entries do not have the root %s", h.Size, h.RootText())
	}
}

// upper compares the hashes of full tiles with the level above, which narrows a
// changed hash down to 256 entries.
func (v *verifier) upper(tiles []Tile) error {
	for _, t := range tiles {
		if t.Level != 0 || len(t.Hashes) < tileBytes {
			continue
		}
		above, err := v.log.Tile(1, t.N/tileWidth)
		if err != nil {
			return fmt.Errorf("reading tile 1/%d: %w", t.N/tileWidth, err)
		}
		root := tileRoot(t.Hashes)
		at := t.N % tileWidth * tlog.HashSize
		if int64(len(above)) < at+tlog.HashSize || !bytes.Equal(above[at:at+tlog.HashSize], root[:]) {
			v.find(t.N*tileWidth, (t.N+1)*tileWidth-1, "", "hashes do not match the level above")
		}
	}
	return nil
}

// rows compares every entry with the tree.
func (v *verifier) rows() error {
	next := int64(0)
	for row, err := range v.log.Rows {
		if err != nil {
			return fmt.Errorf("reading log rows: %w", err)
		}
		if row.First < 0 {
			v.find(next, next, "", "unreadable")
			continue
		}
		if row.First >= v.report.Size {
			v.find(row.First, row.First+row.Count-1, row.ID, "not covered by the head")
			continue
		}
		if row.First > next {
			v.find(next, row.First-1, "", "missing")
		}
		if row.First < next {
			v.find(row.First, next-1, row.ID, "a second row has this place")
		}
		next = max(next, row.First+row.Count)
		v.row(row)
		v.report.Rows++
		if len(v.report.Findings) >= maxFindings {
			return nil
		}
	}
	if next < v.report.Size {
		v.find(next, v.report.Size-1, "", "missing")
	}
	return nil
}

func (v *verifier) row(row PlacedRow) {
	last := row.First + row.Count - 1
	if len(row.Body) == 0 {
		v.find(row.First, last, row.ID, "missing")
		return
	}
	entries, err := ReadRow(row.Body)
	if err != nil {
		v.find(row.First, last, row.ID, "%v", err)
		return
	}
	if n := int64(len(entries)); n != row.Count {
		v.find(row.First+min(n, row.Count), max(last, row.First+n-1), row.ID, "row has %d entries, but its place has room for %d", n, row.Count)
	}
	for i, e := range entries {
		v.entry(row, i, e)
	}
}

func (v *verifier) entry(row PlacedRow, i int, e Entry) {
	index := row.First + int64(i)
	hash := e.Hash()
	at := index * tlog.HashSize
	if at+tlog.HashSize > int64(len(v.leaves)) {
		return // reported with the tiles or the row's count
	}
	if !bytes.Equal(v.leaves[at:at+tlog.HashSize], hash[:]) {
		v.find(index, index, row.ID, "changed: it does not match its hash in the tree")
		return
	}
	leaf, err := e.Fields()
	if err != nil {
		v.find(index, index, row.ID, "%v", err)
		return
	}
	if want := row.ID + "/" + strconv.Itoa(i); leaf.ID != want {
		v.find(index, index, row.ID, "belongs to %s, but is at %s", leaf.ID, want)
	}
	if leaf.Type == licensing.PayloadErased {
		v.erases[leaf.Erases] = true
	}
	if e.Erased() {
		v.missing[HashText(hash)] = Finding{index, index, row.ID, "payload is missing, but no entry records its erasure"}
	} else if err := e.checkPayload(leaf.Digest); err != nil {
		v.find(index, index, row.ID, "%v", err)
	}
}

// erasures accepts missing payloads whose erasure is recorded.
func (v *verifier) erasures() {
	var unexplained []Finding
	for hash, f := range v.missing {
		if v.erases[hash] {
			v.report.Erased++
		} else {
			unexplained = append(unexplained, f)
		}
	}
	slices.SortFunc(unexplained, func(a, b Finding) int { return cmp.Compare(a.First, b.First) })
	for _, f := range unexplained {
		v.find(f.First, f.Last, f.Row, "%s", f.What)
	}
}
