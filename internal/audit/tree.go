package audit

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	tileBytes  = tileWidth * tlog.HashSize
)

// A Tile is up to 256 adjacent hashes of one level of tiles. Level 0 contains
// leaf hashes; each hash of level n+1 is the root of a full tile of level n.
// A stored tile grows in place, and its existing hashes never change.
type Tile struct {
	Level  int    `json:"level"`
	N      int64  `json:"n"`
	Hashes []byte `json:"hashes"`
}

// A ReadTile returns the stored hashes of a tile. It may return more hashes than the
// caller's tree has, but never fewer.
type ReadTile func(level int, n int64) ([]byte, error)

// A Tree is the right edge of a Merkle tree, which is all that is needed to append to it.
// The zero Tree is empty. A Tree is a value, so appending leaves the old one intact.
type Tree struct {
	size int64
	edge [][]byte // hashes of the last, partial tile of each level
}

// LoadTree reads the edge of the tree of the given size.
func LoadTree(size int64, read ReadTile) (Tree, error) {
	t := Tree{size: size}
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		hashes := size >> (tileHeight * level)
		width := int(hashes%tileWidth) * tlog.HashSize
		if width == 0 {
			t.edge = append(t.edge, nil)
			continue
		}
		data, err := read(level, hashes/tileWidth)
		if err != nil {
			return Tree{}, fmt.Errorf("reading tile %d/%d: %w", level, hashes/tileWidth, err)
		}
		if len(data) < width {
			return Tree{}, fmt.Errorf("tile %d/%d has %d of %d bytes", level, hashes/tileWidth, len(data), width)
		}
		t.edge = append(t.edge, bytes.Clone(data[:width]))
	}
	return t, nil
}

// Size returns the number of entries.
func (t Tree) Size() int64 { return t.size }

// Append returns the tree with leaves (concatenated hashes) added, and the tiles
// that are new or have grown.
func (t Tree) Append(leaves []byte) (Tree, []Tile) {
	next := Tree{size: t.size, edge: slices.Clone(t.edge)}
	for i, e := range next.edge {
		next.edge[i] = bytes.Clone(e)
	}
	var full []Tile
	touched := 0
	for ; len(leaves) >= tlog.HashSize; leaves = leaves[tlog.HashSize:] {
		hash := leaves[:tlog.HashSize]
		for level := 0; ; level++ {
			if level == len(next.edge) {
				next.edge = append(next.edge, nil)
			}
			touched = max(touched, level)
			next.edge[level] = append(next.edge[level], hash...)
			if len(next.edge[level]) < tileBytes {
				break
			}
			n := next.size >> (tileHeight * (level + 1))
			full = append(full, Tile{level, n, next.edge[level]})
			root := tileRoot(next.edge[level])
			hash = root[:]
			next.edge[level] = nil
		}
		next.size++
	}
	return next, append(full, next.partial(touched)...)
}

// partial returns the partial tiles up to a level.
func (t Tree) partial(top int) []Tile {
	var tiles []Tile
	for level, data := range t.edge {
		if level <= top && len(data) > 0 {
			tiles = append(tiles, Tile{level, t.size >> (tileHeight * (level + 1)), bytes.Clone(data)})
		}
	}
	return tiles
}

// Root returns the RFC 6962 root hash.
func (t Tree) Root() tlog.Hash {
	var subtrees []tlog.Hash // full ones, largest first
	for _, data := range slices.Backward(t.edge) {
		for len(data) > 0 {
			width := tlog.HashSize
			for width*2 <= len(data) {
				width *= 2
			}
			subtrees = append(subtrees, tileRoot(data[:width]))
			data = data[width:]
		}
	}
	if len(subtrees) == 0 {
		empty, _ := tlog.TreeHash(0, nil) // an empty tree reads no hashes
		return empty
	}
	root := subtrees[len(subtrees)-1]
	for _, left := range slices.Backward(subtrees[:len(subtrees)-1]) {
		root = tlog.NodeHash(left, root)
	}
	return root
}

// tileRoot combines a power of two of hashes into one.
func tileRoot(data []byte) tlog.Hash {
	row := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range row {
		row[i] = tlog.Hash(data[i*tlog.HashSize:])
	}
	for len(row) > 1 {
		for i := range len(row) / 2 {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
		row = row[:len(row)/2]
	}
	return row[0]
}
