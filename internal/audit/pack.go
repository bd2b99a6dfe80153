package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rows are stored packed, in less than half the size of their JSON. Entries consist of the same
// phrases (names of members and types) around values that cannot be compressed: ids, digests and
// salts. A general compressor keeps those as text, and most rows are too short for it. Pack writes
// each phrase as one byte, and ids, digests and numbers in binary. Unpack restores exactly the bytes
// that the leaf hashes cover.
//
// A packed row consists of the number of its form, the length of the JSON, and operations:
//
//	0 to 191    the phrase with this number
//	packedID    16 bytes, written as the 26 digits of an id
//	packedSalt  16 bytes, written as 22 characters of base64url
//	packedHash  32 bytes, written as 43 characters of base64url
//	packedHex   32 bytes, written as 64 hexadecimal digits
//	packedInt   uvarint, written in decimal
//	packedSame  uvarint n: the n-th last value again
//	packedText  uvarint n, then n bytes that are written unchanged
//	200 to 255  1 to 56 bytes that are written unchanged
//
// What an operation writes is a value, unless it is a phrase. packedSame counts values of minSame to
// maxSame bytes, including those that packedSame has written.

// formOne is the form of rows with formOnePhrases. A packed row begins with its form, and JSON begins
// with a bracket.
const formOne = 1

const (
	packedID    = 192
	packedSalt  = 193
	packedHash  = 194
	packedHex   = 195
	packedInt   = 196
	packedSame  = 197
	packedText  = 198
	packedShort = 200 // and above: one more than the difference is the number of bytes
)

const (
	minPhrase = 4
	minSame   = 4
	maxSame   = 128
	// maxGrowth is the maximum number of bytes of JSON for each packed byte: a value or phrase has at
	// most maxSame bytes. A larger length is refused before memory is allocated.
	maxGrowth = maxSame
)

// Pack returns a row's JSON in packed form.
func Pack(body []byte) []byte {
	var space [64]span
	p := packer{body: body, out: make([]byte, 0, 64+len(body)/2), values: space[:0]}
	p.out = binary.AppendUvarint(append(p.out, formOne), uint64(len(body)))
	from := 0 // everything before it is packed
	for at := 0; at < len(body); {
		if at > from && !starts[body[at]] {
			at++
			continue
		}
		n, length := formOnePhrases.match(body[at:])
		if length == 0 {
			at++
			continue
		}
		p.text(from, at)
		p.out = append(p.out, n)
		at += length
		from = at
	}
	p.text(from, len(body))
	return p.out
}

// starts has the bytes at which a phrase can follow a value.
var starts = [256]bool{'"': true, ',': true, '}': true, ']': true, '/': true, 'Z': true}

// A packer packs one row.
type packer struct {
	body, out []byte
	values    []span
	latest    [256]int32 // by hash, 1 + the index of a value
}

// A span is the part of the JSON that contains a value.
type span struct{ from, to int32 }

// text packs the bytes between two phrases. The digits of an id are a value without the prefix.
func (p *packer) text(from, to int) {
	if from == to {
		return
	}
	if id := to - idDigits; id > from && p.body[id-1] == '_' && validID(p.body[id:to]) {
		p.value(from, id)
		from = id
	}
	p.value(from, to)
}

// value packs a value.
func (p *packer) value(from, to int) {
	text := p.body[from:to]
	if n := len(text); n >= minSame && n <= maxSame {
		slot := &p.latest[hashOf(text)]
		if i := *slot - 1; i >= 0 && bytes.Equal(p.body[p.values[i].from:p.values[i].to], text) {
			p.out = binary.AppendUvarint(append(p.out, packedSame), uint64(len(p.values)-int(i)))
			p.values = append(p.values, span{int32(from), int32(to)})
			*slot = int32(len(p.values))
			return
		}
		p.values = append(p.values, span{int32(from), int32(to)})
		*slot = int32(len(p.values))
	}
	p.out = appendValue(p.out, text)
}

// hashOf depends on both ends of a value of at least 4 bytes.
func hashOf(text []byte) uint8 {
	a, b := binary.LittleEndian.Uint32(text), binary.LittleEndian.Uint32(text[len(text)-4:])
	return uint8((a*2654435761 ^ b*2246822519 ^ uint32(len(text))) >> 24)
}

// appendValue appends a value in the shortest form that restores it.
func appendValue(out, text []byte) []byte {
	switch n := len(text); {
	case n == idDigits && validID(text):
		return appendID(append(out, packedID), text)
	case n == 22, n == 43:
		var raw [32]byte
		op, size := byte(packedSalt), 16
		if n == 43 {
			op, size = packedHash, 32
		}
		if got, err := exactBase64.Decode(raw[:], text); err == nil && got == size {
			return append(append(out, op), raw[:size]...)
		}
	case n == 64 && lowerHex(text):
		out = append(out, packedHex)
		out, _ = hex.AppendDecode(out, text)
		return out
	case n >= 3 && n <= 19 && text[0] >= '1' && text[0] <= '9':
		if v, err := strconv.ParseUint(string(text), 10, 63); err == nil {
			return binary.AppendUvarint(append(out, packedInt), v)
		}
	}
	if n := len(text); n <= math.MaxUint8-packedShort+1 {
		out = append(out, byte(packedShort+n-1))
	} else {
		out = binary.AppendUvarint(append(out, packedText), uint64(n))
	}
	return append(out, text...)
}

// exactBase64 accepts only what the encoder writes.
var exactBase64 = base64.RawURLEncoding.Strict()

func lowerHex(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// IsPacked reports whether a stored row is packed. Otherwise it is JSON.
func IsPacked(stored []byte) bool { return len(stored) > 0 && stored[0] != '[' }

// errPacked means that a packed row is not what Pack returns.
var errPacked = errors.New("the packed row is damaged")

// Unpack returns the JSON of a stored row. A row that is not packed is returned unchanged. Memory
// is limited to maxGrowth bytes for each byte of the row.
func Unpack(stored []byte) ([]byte, error) {
	if !IsPacked(stored) {
		return stored, nil
	}
	if stored[0] != formOne {
		return nil, fmt.Errorf("the row is packed in form %d, which this version cannot read", stored[0])
	}
	size, n := binary.Uvarint(stored[1:])
	if n <= 0 || size > uint64(len(stored))*maxGrowth {
		return nil, errPacked
	}
	var space [64]span
	u := unpacker{in: stored[1+n:], out: make([]byte, 0, size), room: int(size), values: space[:0]}
	for len(u.in) > 0 {
		if err := u.step(); err != nil {
			return nil, err
		}
	}
	if len(u.out) != u.room {
		return nil, errPacked
	}
	return u.out, nil
}

// An unpacker restores the JSON of one row.
type unpacker struct {
	in, out []byte
	room    int // length of the JSON
	values  []span
}

// step runs one operation.
func (u *unpacker) step() error {
	op := u.in[0]
	u.in = u.in[1:]
	from := len(u.out)
	switch {
	case int(op) < len(formOnePhrases.text):
		u.out = append(u.out, formOnePhrases.text[op]...)
		return u.check()
	case op >= packedShort:
		return u.copied(from, uint64(op-packedShort+1))
	case op == packedID && len(u.in) >= 16:
		u.out, u.in = appendDigits(u.out, [16]byte(u.in)), u.in[16:]
	case op == packedSalt && len(u.in) >= 16:
		u.out, u.in = base64.RawURLEncoding.AppendEncode(u.out, u.in[:16]), u.in[16:]
	case op == packedHash && len(u.in) >= 32:
		u.out, u.in = base64.RawURLEncoding.AppendEncode(u.out, u.in[:32]), u.in[32:]
	case op == packedHex && len(u.in) >= 32:
		u.out, u.in = hex.AppendEncode(u.out, u.in[:32]), u.in[32:]
	case op == packedInt, op == packedSame, op == packedText:
		v, n := binary.Uvarint(u.in)
		if n <= 0 || v > math.MaxInt64 {
			return errPacked
		}
		u.in = u.in[n:]
		switch {
		case op == packedText:
			return u.copied(from, v)
		case op == packedInt:
			u.out = strconv.AppendUint(u.out, v, 10)
		case v == 0 || v > uint64(len(u.values)):
			return errPacked
		default:
			s := u.values[len(u.values)-int(v)]
			u.out = append(u.out, u.out[s.from:s.to]...)
		}
	default:
		return errPacked
	}
	return u.wrote(from)
}

// copied takes n bytes of the row as a value.
func (u *unpacker) copied(from int, n uint64) error {
	if n > uint64(len(u.in)) {
		return errPacked
	}
	u.out, u.in = append(u.out, u.in[:n]...), u.in[n:]
	return u.wrote(from)
}

// wrote notes that the JSON from an index on is a value.
func (u *unpacker) wrote(from int) error {
	if n := len(u.out) - from; n >= minSame && n <= maxSame {
		u.values = append(u.values, span{int32(from), int32(len(u.out))})
	}
	return u.check()
}

// check stops a row that writes more than it declared, so that memory is limited.
func (u *unpacker) check() error {
	if len(u.out) > u.room {
		return errPacked
	}
	return nil
}

// phrases are the texts that one byte stands for.
type phrases struct {
	text  []string
	begin [256][]uint8 // by hash of the first minPhrase bytes, the longest first
}

func newPhrases(list string) (p phrases) {
	p.text = strings.Split(strings.TrimSpace(list), "\n")
	for n, t := range p.text {
		slot := &p.begin[phraseHash(t)]
		at := 0
		for at < len(*slot) && len(p.text[(*slot)[at]]) >= len(t) {
			at++
		}
		*slot = append((*slot)[:at], append([]uint8{uint8(n)}, (*slot)[at:]...)...)
	}
	return p
}

// phraseHash depends on the first minPhrase bytes.
func phraseHash[T string | []byte](text T) uint8 {
	_ = text[3]
	return uint8((uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24) * 2654435761 >> 24)
}

// match returns the longest phrase at the beginning of text, and its length, or 0 for none.
func (p *phrases) match(text []byte) (n uint8, length int) {
	if len(text) < minPhrase {
		return 0, 0
	}
	for _, n := range p.begin[phraseHash(text)] {
		if t := p.text[n]; len(text) >= len(t) && string(text[:len(t)]) == t {
			return n, len(t)
		}
	}
	return 0, 0
}

// idDigits is the number of digits in an id after its prefix: a ULID in Crockford's base 32.
const idDigits = 26

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

var digitValue = func() (values [256]uint8) {
	for i := range values {
		values[i] = 0xff
	}
	for i := range crockford {
		values[crockford[i]] = uint8(i)
	}
	return values
}()

// validID reports whether text is 26 digits of 128 bits.
func validID(text []byte) bool {
	for _, c := range text {
		if digitValue[c] == 0xff {
			return false
		}
	}
	return text[0] <= '7'
}

// appendID appends the 128 bits of an id.
func appendID(out, digits []byte) []byte {
	var high, low uint64
	for _, c := range digits {
		high, low = high<<5|low>>59, low<<5|uint64(digitValue[c])
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, high), low)
}

// appendDigits appends the digits of an id.
func appendDigits(out []byte, id [16]byte) []byte {
	high, low := binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])
	var digits [idDigits]byte
	for i := idDigits - 1; i >= 0; i-- {
		digits[i] = crockford[low&31]
		high, low = high>>5, low>>5|high<<59
	}
	return append(out, digits[:]...)
}
