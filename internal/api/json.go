package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/sdk/license"
)

// maxDepth limits the nesting of objects and lists.
const maxDepth = 16

// decodeStrict decodes data into v. It requires valid UTF-8, no duplicate members in any
// letter case, nothing after the end, limited depth, no control characters except those of
// lines, and no number that some language cannot represent exactly. Its errors repeat nothing of data.
func decodeStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("the body is not UTF-8")
	}
	data, err := wholeNumbers(data)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body has extra data after its JSON")
	}
	return plain(json.Unmarshal(data, v))
}

// checkValue reads the next value of d and checks it against the profile.
func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return errNotJSON()
	}
	if depth++; depth > maxDepth+1 {
		return errors.New("the body is nested too deeply")
	}
	if text, ok := token.(string); ok && !printable(text) {
		return errControl()
	}
	if number, ok := token.(json.Number); ok {
		if f, err := number.Float64(); err != nil || math.Abs(f) > license.MaxInt {
			return errors.New("the body has a number beyond ±(2^53-1)")
		}
	}
	switch token {
	case json.Delim('{'):
		return checkMembers(d, depth)
	case json.Delim('['):
		for d.More() {
			if err := checkValue(d, depth); err != nil {
				return err
			}
		}
		return closed(d)
	}
	return nil
}

func checkMembers(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return errNotJSON()
		}
		name, _ := token.(string)
		if !printable(name) {
			return errControl()
		}
		if name = strings.ToLower(name); seen[name] {
			return errors.New("the body has a duplicate member")
		}
		seen[name] = true
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	return closed(d)
}

// printable reports whether s is text: lines without characters that control a terminal or
// that one of the databases refuses, and without U+FFFD. An escape of half a surrogate
// pair is decoded to U+FFFD too, so two different texts would become the same.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' || r == utf8.RuneError
	})
}

func errControl() error {
	return errors.New("the body has control characters, half of a surrogate pair, or U+FFFD (the replacement character)")
}

func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errNotJSON()
	}
	return nil
}

func errNotJSON() error { return errors.New("the body is not valid JSON") }

// plain describes a JSON error without the value that caused it.
func plain(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		if wrongType.Field == "" {
			return errors.New("the body has the wrong type")
		}
		return fmt.Errorf("%s has the wrong type", wrongType.Field)
	}
	return errNotJSON()
}

// unexpected is huma's message about an unknown member.
const unexpected = "unexpected property"

// harmless describes a fault that huma found and its place, without a value or a name from
// the request.
func harmless(e *huma.ErrorDetail) string {
	switch {
	case strings.HasSuffix(e.Message, datePattern):
		return e.Location + " is not a date between 1970 and 9999"
	case e.Message == unexpected:
		return e.Location[:max(0, strings.LastIndexByte(e.Location, '.'))] + " has an unknown member"
	case e.Value == nil && strings.HasPrefix(e.Message, "expected "):
		return e.Location + " is null; omit members that have no value"
	case strings.HasPrefix(e.Message, "expected "), strings.HasPrefix(e.Message, "required "), e.Location == "body":
		return e.Location + ": " + e.Message
	}
	return e.Location + " is not valid"
}
