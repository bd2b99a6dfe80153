package audit

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// An Inclusion proves that the tree of a head contains an entry at an index.
type Inclusion struct {
	Index  int64    `json:"index"`
	Hashes []string `json:"hashes"` // base64, leaf to root
	Head   string   `json:"head"`   // signed
}

// ProveInclusion builds the proof for the entry at index under a signed head.
func ProveInclusion(signed string, index int64, read ReadTile) (Inclusion, error) {
	h, err := ParseHead(signed)
	if err != nil {
		return Inclusion{}, err
	}
	if index < 0 || index >= h.Size {
		return Inclusion{}, fmt.Errorf("the log has %d entries and no entry %d", h.Size, index)
	}
	proof, err := tlog.ProveRecord(h.Size, index, hashes(h, read))
	if err != nil {
		return Inclusion{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	return Inclusion{Index: index, Hashes: hashTexts(proof), Head: signed}, nil
}

// Text returns the proof as C2SP tlog-proof.
func (p Inclusion) Text() string {
	return "c2sp.org/tlog-proof@v1\nindex " + strconv.FormatInt(p.Index, 10) + "\n" + lines(p.Hashes) + "\n" + p.Head
}

// A Consistency proves that the tree of a head only appended to an older tree.
// Head is the newer head. It is signed if the prover had its signature, and otherwise
// the text for a verifier that has the signed one.
type Consistency struct {
	From   int64    `json:"from"`
	To     int64    `json:"to"`
	Hashes []string `json:"hashes"` // base64
	Head   string   `json:"head"`
}

// ProveConsistency builds the proof from a tree of the first from entries to a head,
// given as text, signed or not.
func ProveConsistency(head string, from int64, read ReadTile) (Consistency, error) {
	h, err := ParseHead(head)
	if err != nil {
		return Consistency{}, err
	}
	if from < 0 || from > h.Size {
		return Consistency{}, fmt.Errorf("the tree has %d entries, not %d", h.Size, from)
	}
	proof := Consistency{From: from, To: h.Size, Hashes: []string{}, Head: head}
	if from == 0 {
		return proof, nil
	}
	path, err := tlog.ProveTree(h.Size, from, hashes(h, read))
	if err != nil {
		return Consistency{}, fmt.Errorf("proving consistency from %d: %w", from, err)
	}
	proof.Hashes = hashTexts(path)
	return proof, nil
}

// Text returns the proof in the form that a witness receives (C2SP tlog-witness, add-checkpoint).
func (p Consistency) Text() string {
	return "old " + strconv.FormatInt(p.From, 10) + "\n" + lines(p.Hashes) + "\n" + p.Head
}

func lines(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return strings.Join(texts, "\n") + "\n"
}

func hashTexts(proof []tlog.Hash) []string {
	texts := make([]string, len(proof))
	for i, h := range proof {
		texts[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return texts
}

// hashes reads hashes from tiles and authenticates each against the head, so
// that no proof is built from a modified tile.
func hashes(h Head, read ReadTile) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: h.Size, Hash: h.Root}, tileReader(read))
}

type tileReader ReadTile

func (tileReader) Height() int                     { return tileHeight }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := r(t.L, t.N)
		if err != nil {
			return nil, err
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %d/%d has %d of %d bytes", t.L, t.N, len(data), t.W*tlog.HashSize)
		}
		out[i] = data[:t.W*tlog.HashSize]
	}
	return out, nil
}
