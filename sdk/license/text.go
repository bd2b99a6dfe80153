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

// A TextError says where a file is not text, or not the text that it should be.
type TextError struct {
	Name   string // of the file, "" when it is not known
	Line   int    // from 1
	Reason string
}

func (e *TextError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Reason)
}

// DecodeText returns the text of a file that people or their tools wrote: UTF-8 with or
// without a byte-order mark, or UTF-16 with one. Ends of lines become \n, and the spaces of
// other kinds than the plain one, such as the non-breaking space, become plain ones.
// Everything else that it can't read for certain is a *TextError, which names the file by
// name: another encoding, half of a surrogate pair, a control character other than a tab, and
// the character that stands for a lost one (U+FFFD).
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
		return "", &TextError{Line: lineAt(text[:at]), Reason: fmt.Sprintf("byte 0x%02X is not UTF-8: save the file as UTF-8", text[at])}
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
				return "", &TextError{Line: lineAt(string(text)), Reason: "half of a surrogate pair, which is no character"}
			}
			data = data[2:]
		}
		text = utf8.AppendRune(text, r)
	}
	if len(data) > 0 {
		return "", &TextError{Line: lineAt(string(text)), Reason: "the file ends within a character of UTF-16"}
	}
	return string(text), nil
}

// invalidUTF8 returns where s is not UTF-8, or -1.
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

// lineAt returns the line that follows the text before it.
func lineAt(before string) int {
	before = strings.ReplaceAll(before, "\r\n", "\n")
	return 1 + strings.Count(before, "\n") + strings.Count(before, "\r")
}

// DecodeSecret returns the one license key or token that a file or a variable holds. Lines
// that begin with # are comments, and so is what follows " #" after a key or token of
// Copyhold; a secret that was wrapped is joined. The error is a *TextError and repeats
// nothing of the secret.
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
			return "", &TextError{name, n, "a second key or token begins, and a file holds one: put # before those that are not to be used"}
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
		return "", &TextError{name, max(n, 1), "it is empty or only has comments: it holds no key and no token"}
	}
	return secret.String(), nil
}

// beginsSecret reports whether a line begins a license key or a token of Copyhold.
func beginsSecret(line string) bool {
	for _, prefix := range []string{"CH-", "cht_"} {
		if len(line) >= len(prefix) && strings.EqualFold(line[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// DecodeSet reads a root set or a key set, which kind says ("root set", "key set"), as a server
// publishes it: a list of compact documents as JSON, an object that holds one as rootset or
// keyset, or a document a line, with # comments. It verifies nothing. A license file is
// refused: it holds both, and would vouch for itself.
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
		return nil, &TextError{name, 1, "a license file is no " + kind + ": it proves nothing about itself"}
	}
	if err != nil || len(list) == 0 {
		return nil, &TextError{name, 1, "it does not hold a " + kind + ", which is a list of signed documents"}
	}
	return list, nil
}

// uncommented returns text without the lines that begin with #, and trimmed.
func uncommented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return strings.TrimSpace(out.String())
}

// Invisible returns the first character of s that no name may have, because nobody sees it
// or because it changes how the text around it is read: control characters, zero-width
// characters, marks that turn the direction of reading, fillers, ends of lines, and U+FFFD,
// which is also what it returns for a byte that is not UTF-8. Two names that differ by one
// look alike.
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

// describe names a character that is refused.
func describe(r rune) string {
	switch {
	case r == 0:
		return "a NUL byte: UTF-16 needs a byte-order mark, and anything else with it is no text"
	case r == utf8.RuneError:
		return "the character U+FFFD stands for one that was lost when the file was converted"
	case unicode.IsControl(r):
		return fmt.Sprintf("the control character U+%04X", r)
	}
	return fmt.Sprintf("the character U+%04X, which nobody sees", r)
}
