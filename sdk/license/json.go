package license

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits of the JSON profile.
const (
	MaxDocument = 64 << 10  // bytes of a payload
	MaxDepth    = 16        // levels of nested objects and lists
	MaxInt      = 1<<53 - 1 // numbers lie within ±MaxInt, which every language can represent
	maxName     = 128       // bytes of a member's name
)

// Unmarshal decodes JSON of the strict profile into v, a non-nil pointer. The input must be UTF-8,
// at most MaxDocument bytes long, and nested at most MaxDepth levels deep. Member names must have 1
// to 128 printable ASCII characters. They match in exact case, and no two may be equal even if case
// is ignored. Numbers must be whole and within ±(2^53-1). There must be no null, no NUL, no lone
// surrogate, and nothing after the value. Members that v does not know are checked and ignored. The
// error is ErrFormat.
func Unmarshal(data []byte, v any) error {
	return unmarshal(data, reflect.ValueOf(v).Elem(), MaxDocument)
}

// checkJSON checks the profile without decoding.
func checkJSON(data []byte) error { return unmarshal(data, reflect.Value{}, MaxDocument) }

func unmarshal(data []byte, dst reflect.Value, limit int) error {
	if len(data) > limit {
		return fault(ErrFormat, "longer than %d bytes", limit)
	}
	if !utf8.Valid(data) {
		return fault(ErrFormat, "not UTF-8")
	}
	d := decoder{data: data, shared: string(data)}
	d.space()
	d.value(dst, 0)
	d.space()
	if d.pos != len(d.data) {
		d.fail("unexpected data after the value")
	}
	return d.err
}

// A decoder keeps its first error and then behaves as if it were at the end, so no step needs to
// check whether the one before succeeded.
type decoder struct {
	data   []byte
	shared string // the same data, to read texts that are not kept without a copy
	pos    int
	err    error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fault(ErrFormat, "byte %d: %s", d.pos, what)
	}
	d.pos = len(d.data)
}

// peek returns the next byte. At the end, it returns 0, which begins no value.
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

// another reports whether a list or object that closes with end has another element.
func (d *decoder) another(end byte) bool {
	d.space()
	if d.err != nil || d.accept(end) {
		return false
	}
	if !d.accept(',') {
		d.fail("missing comma")
		return false
	}
	d.space()
	return true
}

// notAValue explains why c does not begin a value of the profile.
func notAValue(c byte) string {
	if c == 'n' {
		return "null is not allowed; omit the member instead"
	}
	return "not a value that the profile allows"
}

// value decodes the next value. If dst is the zero Value, it checks the value and discards it.
func (d *decoder) value(dst reflect.Value, depth int) {
	if dst.IsValid() && dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	switch c := d.peek(); {
	case c == '{':
		d.object(dst, depth+1)
	case c == '[':
		d.list(dst, depth+1)
	case c == '"':
		d.text(dst)
	case c == 't' || c == 'f':
		d.truth(dst)
	case c == '-' || isDigit(c):
		d.number(dst)
	default:
		d.fail(notAValue(c))
	}
}

func (d *decoder) object(dst reflect.Value, depth int) {
	if depth > MaxDepth {
		d.fail("nested too deeply")
		return
	}
	var plan map[string][]int
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.Struct && dst.Type() != valueType && dst.Type() != seqType:
		plan = planOf(dst.Type())
	case dst.Kind() == reflect.Map:
		dst.Set(reflect.MakeMap(dst.Type()))
	default:
		d.fail("unexpected object")
		dst = reflect.Value{}
	}
	d.pos++
	d.space()
	if d.accept('}') {
		return
	}
	var seen names
	for more := true; more; more = d.another('}') {
		name := d.name()
		if !seen.add(name) {
			d.fail("duplicate member")
		}
		d.space()
		if !d.accept(':') {
			d.fail("missing colon")
		}
		d.space()
		d.member(dst, plan, name, depth)
	}
}

// member decodes the value of one member of an object into dst.
func (d *decoder) member(dst reflect.Value, plan map[string][]int, name string, depth int) {
	if index, ok := plan[name]; ok {
		d.value(dst.FieldByIndex(index), depth)
		return
	}
	if plan != nil || !dst.IsValid() {
		d.value(reflect.Value{}, depth)
		return
	}
	item := reflect.New(dst.Type().Elem()).Elem()
	d.value(item, depth)
	if d.err == nil {
		dst.SetMapIndex(reflect.ValueOf(strings.Clone(name)).Convert(dst.Type().Key()), item)
	}
}

func (d *decoder) name() string {
	if d.peek() != '"' {
		d.fail("missing member name")
	}
	name := d.str()
	if name == "" || len(name) > maxName {
		d.fail("member name is empty or too long")
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			d.fail("invalid character in a member name")
		}
	}
	return name
}

func (d *decoder) list(dst reflect.Value, depth int) {
	if depth > MaxDepth {
		d.fail("nested too deeply")
		return
	}
	if !dst.IsValid() || dst.Type() != seqType {
		d.items(dst, depth)
		return
	}
	var pair [2]int64
	d.items(reflect.ValueOf(&pair).Elem(), depth)
	dst.Set(reflect.ValueOf(Seq{pair[0], pair[1]}))
}

func (d *decoder) items(dst reflect.Value, depth int) {
	kind := reflect.Invalid
	if dst.IsValid() {
		kind = dst.Kind()
		if kind != reflect.Slice && kind != reflect.Array {
			d.fail("unexpected list")
		}
	}
	d.pos++
	d.space()
	n := 0
	for more := !d.accept(']'); more; more = d.another(']') {
		var item reflect.Value
		if kind == reflect.Slice {
			dst.Set(reflect.Append(dst, reflect.Zero(dst.Type().Elem())))
			item = dst.Index(n)
		}
		if kind == reflect.Array && n < dst.Len() {
			item = dst.Index(n)
		}
		d.value(item, depth)
		n++
	}
	if kind == reflect.Array && n != dst.Len() {
		d.fail("wrong number of list elements")
	}
}

func (d *decoder) text(dst reflect.Value) {
	s := d.str()
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.String:
		dst.SetString(strings.Clone(s))
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(TextValue(strings.Clone(s))))
	default:
		d.fail("unexpected text")
	}
}

func (d *decoder) truth(dst reflect.Value) {
	rest := d.shared[d.pos:min(d.pos+5, len(d.data))]
	on := strings.HasPrefix(rest, "true")
	if !on && rest != "false" {
		d.fail("not a value that the profile allows")
		return
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
		d.fail("unexpected true or false")
	}
}

// number decodes an integer. It does not consume a fraction or an exponent, which then fails
// because nothing may follow the number.
func (d *decoder) number(dst reflect.Value) {
	start := d.pos
	d.accept('-')
	first := d.pos
	for isDigit(d.peek()) {
		d.pos++
	}
	n, err := strconv.ParseInt(d.shared[start:d.pos], 10, 64)
	if err != nil {
		d.fail("number is not whole")
		return
	}
	if n > MaxInt || n < -MaxInt {
		d.fail("number is out of range")
	}
	if first < d.pos && d.data[first] == '0' && d.pos-start > 1 {
		d.fail("number has a leading zero")
	}
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.Int64 || dst.Kind() == reflect.Int:
		dst.SetInt(n)
	case dst.Type() == valueType:
		dst.Set(reflect.ValueOf(IntValue(n)))
	default:
		d.fail("unexpected number")
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

var (
	valueType = reflect.TypeFor[Value]()
	seqType   = reflect.TypeFor[Seq]()

	// plans caches the members of each struct type, as encoding/json does. They are fixed when the
	// program is built.
	plans sync.Map // reflect.Type to map[string][]int
)

// planOf returns the path to each field of t, by member name.
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
