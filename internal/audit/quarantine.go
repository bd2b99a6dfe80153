package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// A RawRow is a row of the log as it is stored, whatever its contents.
type RawRow struct {
	ID     string
	Body   []byte
	Leaves []byte
}

// HashRows returns the hash by which an entry identifies rows that cannot get a place in the tree:
// SHA-256, in hexadecimal, of the id, the body and the leaf hashes of each row, each preceded by
// its length in bytes (64 bits, big-endian). Rows are in the order of their ids. The body is the
// JSON, whether the row is packed or not.
func HashRows(rows []RawRow) string {
	h := sha256.New()
	for _, r := range rows {
		if body, err := Unpack(r.Body); err == nil {
			r.Body = body
		}
		for _, part := range [][]byte{[]byte(r.ID), r.Body, r.Leaves} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
