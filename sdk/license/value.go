package license

import (
	"encoding/json"
	"strconv"
)

// A Value is the value of a feature: on or off, a whole number, or a text. The zero Value is none
// of these and cannot be encoded.
type Value struct {
	kind valueKind
	n    int64
	s    string
}

type valueKind uint8

const (
	noValue valueKind = iota
	boolValue
	intValue
	textValue
)

// BoolValue returns a switch.
func BoolValue(on bool) Value {
	if on {
		return Value{kind: boolValue, n: 1}
	}
	return Value{kind: boolValue}
}

// IntValue returns a number. Documents can contain numbers within ±(2^53-1).
func IntValue(n int64) Value { return Value{kind: intValue, n: n} }

// TextValue returns a text.
func TextValue(s string) Value { return Value{kind: textValue, s: s} }

// Bool returns the switch, and whether the value is one.
func (v Value) Bool() (on, ok bool) { return v.n != 0, v.kind == boolValue }

// Int returns the number, and whether the value is one.
func (v Value) Int() (n int64, ok bool) {
	if v.kind != intValue {
		return 0, false
	}
	return v.n, true
}

// Text returns the text, and whether the value is one.
func (v Value) Text() (s string, ok bool) { return v.s, v.kind == textValue }

// On reports whether the value grants anything: true, a number other than 0, or a text that is not
// empty.
func (v Value) On() bool { return v.n != 0 || v.s != "" }

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.kind == noValue }

// String returns the value as text.
func (v Value) String() string {
	switch v.kind {
	case boolValue:
		return strconv.FormatBool(v.n != 0)
	case intValue:
		return strconv.FormatInt(v.n, 10)
	case textValue:
		return v.s
	}
	return ""
}

// MarshalJSON writes the value as a JSON scalar.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case boolValue:
		return strconv.AppendBool(nil, v.n != 0), nil
	case intValue:
		return strconv.AppendInt(nil, v.n, 10), nil
	case textValue:
		return encode(v.s)
	}
	return nil, fault(ErrFormat, "feature without a value")
}

// UnmarshalJSON reads a JSON scalar. It refuses null, fractions, lists, and objects.
func (v *Value) UnmarshalJSON(data []byte) error { return Unmarshal(data, v) }

var (
	_ json.Marshaler   = Value{}
	_ json.Unmarshaler = (*Value)(nil)
)
