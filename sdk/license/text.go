package license

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A TextError reports where a file is not text, or not the expected text.
type TextError struct {
	Name   string // name of the file, "" if not known
	Line   int    // from 1
	Reason string
}

func (e *TextError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Reason)
}

// DecodeText returns the text of a file from a person or a tool. The file is UTF-8 with or without
// a byte-order mark, or UTF-16 with one. Line ends become \n. Special spaces, such as the
// non-breaking space, become plain spaces. Anything ambiguous is a *TextError that contains the
// given name: another encoding, half of a surrogate pair, a control character other than a tab, or
// the replacement character (U+FFFD).
func DecodeText(name string, data []byte) (string, error) {
	text, err := decodeBytes(data)
	if err != nil {
		err.Name = name
		return "", err
	}
	var out strings.Builder
	out.Grow(len(text))
	line := 1
	for i, r := range text {
		switch {
		case r == '\n':
			line++
			out.WriteByte('\n')
		case r == '\r':
			if !strings.HasPrefix(text[i+1:], "\n") {
				line++
				out.WriteByte('\n')
			}
		case r != ' ' && unicode.Is(unicode.Zs, r):
			out.WriteByte(' ')
		case unicode.IsControl(r) && r != '\t', r == utf8.RuneError:
			return "", &TextError{name, line, describe(r)}
		default:
			out.WriteRune(r)
		}
	}
	return out.String(), nil
}

// decodeBytes returns data as UTF-8, without a byte-order mark.
func decodeBytes(data []byte) (string, *TextError) {
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return decodeUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return decodeUTF16(data[2:], binary.BigEndian)
	}
	text := string(bytes.TrimPrefix(data, []byte("\ufeff")))
	if at := invalidUTF8(text); at >= 0 {
		return "", &TextError{Line: lineAt(text[:at]), Reason: fmt.Sprintf("byte 0x%02X is not UTF-8; save the file as UTF-8", text[at])}
	}
	return text, nil
}

func decodeUTF16(data []byte, order binary.ByteOrder) (string, *TextError) {
	var text []byte
	for ; len(data) >= 2; data = data[2:] {
		r := rune(order.Uint16(data))
		if utf16.IsSurrogate(r) {
			second := rune(0)
			if len(data) >= 4 {
				second = rune(order.Uint16(data[2:]))
			}
			if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
				return "", &TextError{Line: lineAt(string(text)), Reason: "half of a surrogate pair is not a character; save the file as UTF-8"}
			}
			data = data[2:]
		}
		text = utf8.AppendRune(text, r)
	}
	if len(data) > 0 {
		return "", &TextError{Line: lineAt(string(text)), Reason: "the file ends within a UTF-16 character"}
	}
	return string(text), nil
}

// invalidUTF8 returns the position at which s is not UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

// lineAt returns the number of the line that follows the given text.
func lineAt(before string) int {
	before = strings.ReplaceAll(before, "\r\n", "\n")
	return 1 + strings.Count(before, "\n") + strings.Count(before, "\r")
}

// DecodeSecret returns the one license key or token in a file or a variable. Lines that begin with
// # are comments, and so is text after " #" behind a Copyhold key or token. If the secret was
// wrapped, its lines are joined. The error is a *TextError and contains no part of the secret.
func DecodeSecret(name string, data []byte) (string, error) {
	text, err := DecodeText(name, data)
	if err != nil {
		return "", err
	}
	var secret strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		begins := beginsSecret(line)
		if begins && secret.Len() > 0 {
			return "", &TextError{name, n, "a second key or token begins here; put # before those that are not to be used"}
		}
		if begins || beginsSecret(secret.String()) {
			line, _, _ = strings.Cut(line, " #")
		}
		if r, ok := Invisible(line); ok {
			return "", &TextError{name, n, describe(r)}
		}
		secret.WriteString(strings.TrimSpace(line))
	}
	if secret.Len() == 0 {
		return "", &TextError{name, max(n, 1), "it contains no key or token: it is empty or has only comments"}
	}
	return secret.String(), nil
}

// beginsSecret reports whether a line begins with a Copyhold license key or token.
func beginsSecret(line string) bool {
	for _, prefix := range []string{"CH-", "cht_"} {
		if len(line) >= len(prefix) && strings.EqualFold(line[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// DecodeSet reads a root set or a key set in the form in which a server publishes it: a JSON list
// of compact documents, an object with such a list as rootset or keyset, or one document per line
// with # comments. The kind is "root set" or "key set". DecodeSet verifies nothing. It refuses a
// license file, which contains both sets and would vouch for itself.
func DecodeSet(name, kind string, data []byte) ([]string, error) {
	text, err := DecodeText(name, data)
	if err != nil {
		return nil, err
	}
	text = uncommented(text)
	var list []string
	var members map[string]json.RawMessage
	switch {
	case strings.HasPrefix(text, "["):
		err = json.Unmarshal([]byte(text), &list)
	case strings.HasPrefix(text, "{"):
		if err = json.Unmarshal([]byte(text), &members); err == nil {
			err = json.Unmarshal(members[strings.ReplaceAll(kind, " ", "")], &list)
		}
	default:
		list = strings.Fields(text)
	}
	if members["doc"] != nil {
		return nil, &TextError{name, 1, "a license file is not a " + kind + "; it cannot vouch for itself"}
	}
	if err != nil || len(list) == 0 {
		return nil, &TextError{name, 1, "it does not contain a " + kind + ", which is a list of signed documents"}
	}
	return list, nil
}

// uncommented returns text without lines that begin with # and without spaces around it.
func uncommented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return strings.TrimSpace(out.String())
}

// Invisible returns the first character of s that no name may have, because it is invisible or
// changes how the text around it is read. These are control characters, zero-width characters,
// direction marks, fillers, line ends, and U+FFFD, which Invisible also returns for a byte that is
// not UTF-8. Two names that differ only in such a character look the same.
func Invisible(s string) (r rune, found bool) {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c < ' ' || c == 0x7f {
			return invisible(s[i:])
		}
	}
	return 0, false
}

func invisible(s string) (rune, bool) {
	for _, r := range s {
		switch {
		case r == ' ':
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
			unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Noncharacter_Code_Point):
			return r, true
		}
	}
	return 0, false
}

// describe describes a refused character.
func describe(r rune) string {
	switch {
	case r == 0:
		return "a NUL byte is not text; a UTF-16 file needs a byte-order mark"
	case r == utf8.RuneError:
		return "the character U+FFFD replaces one that was lost when the file was converted"
	case unicode.IsControl(r):
		return fmt.Sprintf("the control character U+%04X is not allowed", r)
	}
	return fmt.Sprintf("the invisible character U+%04X is not allowed", r)
}
