package license

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// str decodes a string. The next byte is its opening quote. A caller that keeps the string must
// clone it.
func (d *decoder) str() string {
	if d.err != nil {
		return ""
	}
	d.pos++
	start := d.pos
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case '"':
			s := d.shared[start:d.pos]
			d.pos++
			return s
		case '\\':
			return d.escaped(append([]byte(nil), d.data[start:d.pos]...))
		}
		d.plain()
	}
	d.fail("text has no closing quote")
	return ""
}

// plain skips a byte that needs no decoding.
func (d *decoder) plain() {
	if d.data[d.pos] < ' ' {
		d.fail("control character")
		return
	}
	d.pos++
}

// escaped decodes the rest of a string, starting with its first escape.
func (d *decoder) escaped(s []byte) string {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch c {
		case '"':
			d.pos++
			return string(s)
		case '\\':
			d.pos++
			s = utf8.AppendRune(s, d.escape())
		default:
			s = append(s, c)
			d.plain()
		}
	}
	d.fail("text has no closing quote")
	return ""
}

func (d *decoder) escape() rune {
	c := d.peek()
	d.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		d.fail("unknown escape")
	}
	r := d.hex4()
	if r == 0 {
		d.fail("NUL")
	}
	if !utf16.IsSurrogate(r) {
		return r
	}
	if !d.accept('\\') || !d.accept('u') {
		d.fail("lone surrogate")
	}
	r = utf16.DecodeRune(r, d.hex4())
	if r == utf8.RuneError {
		d.fail("lone surrogate")
	}
	return r
}

func (d *decoder) hex4() (r rune) {
	for range 4 {
		c := d.peek()
		digit := strings.IndexByte("0123456789abcdef", lower(c))
		if digit < 0 {
			d.fail("escape is not hexadecimal")
			return 0
		}
		r = r<<4 | rune(digit)
		d.pos++
	}
	return r
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// names is a case-insensitive set of member names.
type names struct {
	few    [fewNames]string
	n      int
	traits uint64 // one bit for each trait of the names in the set
	many   map[string]bool
}

const fewNames = 32 // up to this many, comparing names with the same trait is faster than a map

// trait returns the same bit for names that differ only in case.
func trait(name string) uint64 {
	if name == "" {
		return 1
	}
	return 1 << ((uint(len(name)) + 5*uint(lower(name[0])) + 11*uint(lower(name[len(name)-1]))) % 64)
}

// add reports whether the name is new.
func (n *names) add(name string) bool {
	if n.many != nil {
		name = strings.ToLower(name)
		if n.many[name] {
			return false
		}
		n.many[name] = true
		return true
	}
	t := trait(name)
	if n.traits&t != 0 && slices.ContainsFunc(n.few[:n.n], func(have string) bool { return len(have) == len(name) && strings.EqualFold(have, name) }) {
		return false
	}
	n.traits |= t
	n.few[n.n] = name
	n.n++
	if n.n == fewNames {
		n.many = make(map[string]bool, 4*fewNames)
		for _, have := range n.few {
			n.many[strings.ToLower(have)] = true
		}
	}
	return true
}
