package license

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of the JSON profile.
const (
	MaxDocument = 64 << 10  // bytes of a payload
	MaxDepth    = 16        // objects and lists within each other
	MaxInt      = 1<<53 - 1 // numbers lie within ±MaxInt, as every language can hold them
	maxName     = 128       // bytes of a member's name
)

// Unmarshal decodes JSON of the strict profile into v: UTF-8; member names of 1
// to 128 printable ASCII characters, exact in case, none twice even by another
// case; whole numbers within ±(2^53-1); no null, no NUL, no lone surrogate;
// nothing after the value; at most MaxDepth deep and MaxDocument long. Members
// that v does not know are checked and ignored. The error is ErrFormat.
func Unmarshal(data []byte, v any) error {
	return unmarshal(data, reflect.ValueOf(v).Elem(), MaxDocument)
}

// checkJSON checks the profile and decodes nothing.
func checkJSON(data []byte) error { return unmarshal(data, reflect.Value{}, MaxDocument) }

func unmarshal(data []byte, dst reflect.Value, limit int) error {
	if len(data) > limit {
		return fault(ErrFormat, "longer than %d bytes", limit)
	}
	if !utf8.Valid(data) {
		return fault(ErrFormat, "not UTF-8")
	}
	d := decoder{data: data}
	d.space()
	if err := d.value(dst, 0); err != nil {
		return err
	}
	d.space()
	if d.pos != len(d.data) {
		return d.fail("data after the end")
	}
	return nil
}

type decoder struct {
	data []byte
	pos  int
}

func (d *decoder) fail(what string) error { return fault(ErrFormat, "byte %d: %s", d.pos, what) }

// peek returns the next byte, or 0 at the end, which begins no JSON value.
func (d *decoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) accept(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.pos++
	return true
}

// value decodes the next value; the zero dst checks it and lets it go.
func (d *decoder) value(dst reflect.Value, depth int) error {
	if dst.IsValid() && dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	switch c := d.peek(); {
	case c == '{':
		return d.object(dst, depth+1)
	case c == '[':
		return d.list(dst, depth+1)
	case c == '"':
		return d.text(dst)
	case c == 't' || c == 'f':
		return d.truth(dst)
	case c == '-' || isDigit(c):
		return d.number(dst)
	}
	return d.fail("no value of the profile")
}

func (d *decoder) object(dst reflect.Value, depth int) error {
	if depth > MaxDepth {
		return d.fail("too deep")
	}
	member, err := d.members(dst)
	if err != nil {
		return err
	}
	d.pos++
	d.space()
	if d.accept('}') {
		return nil
	}
	var seen names
	for {
		name, err := d.name()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return d.fail("member twice")
		}
		d.space()
		if !d.accept(':') {
			return d.fail("no colon")
		}
		d.space()
		if err := member(name, depth); err != nil {
			return err
		}
		d.space()
		if d.accept('}') {
			return nil
		}
		if !d.accept(',') {
			return d.fail("no comma")
		}
		d.space()
	}
}

// members returns what decodes one member of an object into dst.
func (d *decoder) members(dst reflect.Value) (func(name string, depth int) error, error) {
	switch {
	case !dst.IsValid():
		return func(_ string, depth int) error { return d.value(reflect.Value{}, depth) }, nil
	case dst.Kind() == reflect.Struct && dst.Type() != valueType && dst.Type() != seqType:
		plan := planOf(dst.Type())
		return func(name string, depth int) error {
			index, ok := plan[name]
			if !ok {
				return d.value(reflect.Value{}, depth)
			}
			return d.value(dst.FieldByIndex(index), depth)
		}, nil
	case dst.Kind() == reflect.Map:
		dst.Set(reflect.MakeMap(dst.Type()))
		return func(name string, depth int) error {
			item := reflect.New(dst.Type().Elem()).Elem()
			if err := d.value(item, depth); err != nil {
				return err
			}
			dst.SetMapIndex(reflect.ValueOf(name).Convert(dst.Type().Key()), item)
			return nil
		}, nil
	}
	return nil, d.fail("an object here")
}

func (d *decoder) name() (string, error) {
	if d.peek() != '"' {
		return "", d.fail("no member name")
	}
	name, err := d.str()
	if err != nil {
		return "", err
	}
	if name == "" || len(name) > maxName {
		return "", d.fail("length of a member name")
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return "", d.fail("character in a member name")
		}
	}
	return name, nil
}

func (d *decoder) list(dst reflect.Value, depth int) error {
	if depth > MaxDepth {
		return d.fail("too deep")
	}
	var pair [2]int64
	into := dst
	if dst.IsValid() && dst.Type() == seqType {
		into = reflect.ValueOf(&pair).Elem()
	}
	n, err := d.items(into, depth)
	if err != nil {
		return err
	}
	if into.IsValid() && into.Kind() == reflect.Array && n != into.Len() {
		return d.fail("length of a list")
	}
	if into != dst {
		dst.Set(reflect.ValueOf(Seq{pair[0], pair[1]}))
	}
	return nil
}

func (d *decoder) items(dst reflect.Value, depth int) (n int, err error) {
	if dst.IsValid() && dst.Kind() != reflect.Slice && dst.Kind() != reflect.Array {
		return 0, d.fail("a list here")
	}
	d.pos++
	d.space()
	if d.accept(']') {
		return 0, nil
	}
	for ; ; n++ {
		var item reflect.Value
		switch {
		case !dst.IsValid():
		case dst.Kind() == reflect.Slice:
			dst.Set(reflect.Append(dst, reflect.Zero(dst.Type().Elem())))
			item = dst.Index(n)
		case n < dst.Len():
			item = dst.Index(n)
		}
		if err := d.value(item, depth); err != nil {
			return 0, err
		}
		d.space()
		if d.accept(']') {
			return n + 1, nil
		}
		if !d.accept(',') {
			return 0, d.fail("no comma")
		}
		d.space()
	}
}

func (d *decoder) text(dst reflect.Value) error {
	s, err := d.str()
	if err != nil {
		return err
	}
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.String:
		dst.SetString(s)
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(TextValue(s)))
	default:
		return d.fail("a text here")
	}
	return nil
}

func (d *decoder) truth(dst reflect.Value) error {
	rest := string(d.data[d.pos:min(d.pos+5, len(d.data))])
	on := strings.HasPrefix(rest, "true")
	if !on && rest != "false" {
		return d.fail("no value of the profile")
	}
	d.pos += 4
	if !on {
		d.pos++
	}
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.Bool:
		dst.SetBool(on)
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(BoolValue(on)))
	default:
		return d.fail("a truth value here")
	}
	return nil
}

func (d *decoder) number(dst reflect.Value) error {
	start := d.pos
	d.accept('-')
	first := d.pos
	for isDigit(d.peek()) {
		d.pos++
	}
	n, err := strconv.ParseInt(string(d.data[start:d.pos]), 10, 64)
	if err != nil {
		return d.fail("not a whole number")
	}
	if n > MaxInt || n < -MaxInt {
		return d.fail("number out of range")
	}
	if d.data[first] == '0' && d.pos-start > 1 {
		return d.fail("a zero in front")
	}
	if c := d.peek(); c == '.' || c == 'e' || c == 'E' {
		return d.fail("not a whole number")
	}
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.Int64 || dst.Kind() == reflect.Int:
		dst.SetInt(n)
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(IntValue(n)))
	default:
		return d.fail("a number here")
	}
	return nil
}

// str decodes a string; the next byte is its opening quote.
func (d *decoder) str() (string, error) {
	d.pos++
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := string(d.data[start:d.pos])
			d.pos++
			return s, nil
		case c == '\\':
			return d.escaped(append([]byte(nil), d.data[start:d.pos]...))
		case c < ' ':
			return "", d.fail("control character")
		}
		d.pos++
	}
	return "", d.fail("text without an end")
}

func (d *decoder) escaped(s []byte) (string, error) {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		d.pos++
		switch {
		case c == '"':
			return string(s), nil
		case c < ' ':
			return "", d.fail("control character")
		case c != '\\':
			s = append(s, c)
			continue
		}
		r, err := d.escape()
		if err != nil {
			return "", err
		}
		s = utf8.AppendRune(s, r)
	}
	return "", d.fail("text without an end")
}

func (d *decoder) escape() (rune, error) {
	c := d.peek()
	d.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, d.fail("unknown escape")
	}
	r, err := d.hex4()
	if err != nil {
		return 0, err
	}
	if r == 0 {
		return 0, d.fail("NUL")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if !d.accept('\\') || !d.accept('u') {
		return 0, d.fail("lone surrogate")
	}
	low, err := d.hex4()
	if err != nil {
		return 0, err
	}
	r = utf16.DecodeRune(r, low)
	if r == utf8.RuneError {
		return 0, d.fail("lone surrogate")
	}
	return r, nil
}

func (d *decoder) hex4() (rune, error) {
	if len(d.data)-d.pos < 4 {
		return 0, d.fail("short escape")
	}
	var r rune
	for range 4 {
		c := d.data[d.pos]
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' {
			return 0, d.fail("escape is not hexadecimal")
		}
		r = r<<4 | rune(digit)
		d.pos++
	}
	return r, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// names is a set of member names that ignores case.
type names struct {
	few  []string
	many map[string]bool
}

const fewNames = 16 // up to here looking at each is faster than a map

func (n *names) add(name string) bool {
	if n.many != nil {
		name = strings.ToLower(name)
		if n.many[name] {
			return false
		}
		n.many[name] = true
		return true
	}
	for _, have := range n.few {
		if len(have) == len(name) && strings.EqualFold(have, name) {
			return false
		}
	}
	n.few = append(n.few, name)
	if len(n.few) == fewNames {
		n.many = make(map[string]bool, 4*fewNames)
		for _, have := range n.few {
			n.many[strings.ToLower(have)] = true
		}
	}
	return true
}

var (
	valueType = reflect.TypeFor[Value]()
	seqType   = reflect.TypeFor[Seq]()

	// plans remembers the members of each struct type, as encoding/json does:
	// what they are is fixed when the program is built.
	plans sync.Map // reflect.Type to map[string][]int
)

// planOf returns the path to each field of t by its member name.
func planOf(t reflect.Type) map[string][]int {
	if plan, ok := plans.Load(t); ok {
		return plan.(map[string][]int)
	}
	plan := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			plan[name] = f.Index
		}
	}
	plans.Store(t, plan)
	return plan
}
