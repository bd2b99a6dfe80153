package license_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"copyhold.dev/sdk/license"
)

// utf16File returns a text in the form in which tools save it that call UTF-16 "Unicode".
func utf16File(order binary.AppendByteOrder, text string) []byte {
	var file []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		file = order.AppendUint16(file, unit)
	}
	return file
}

// encodings returns files that contain the same text.
func encodings(text string) map[string][]byte {
	windows := strings.ReplaceAll(text, "\n", "\r\n")
	return map[string][]byte{
		"UTF-8":                   []byte(text),
		"UTF-8 with a mark":       []byte("\ufeff" + text),
		"CRLF":                    []byte(windows),
		"CR":                      []byte(strings.ReplaceAll(text, "\n", "\r")),
		"UTF-16 little endian":    utf16File(binary.LittleEndian, windows),
		"UTF-16 big endian":       utf16File(binary.BigEndian, text),
		"spaces that don't break": []byte(strings.ReplaceAll(text, " ", "\u00a0")),
	}
}

func TestATextIsTheSameInEveryEncoding(t *testing.T) {
	const text = "Müller & Söhne\n\t東京 𝄞\n\nlast"
	for name, file := range encodings(text) {
		got, err := license.DecodeText("a.txt", file)
		if err != nil || got != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// An ambiguous file is refused with file, line, and reason. Nothing is replaced.
func TestWhatIsNoTextIsRefusedByLine(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		line   int
		reason string
	}{
		"Latin-1":                         {"one\ntwo\nM\xfcller", 3, "byte 0xFC is not UTF-8"},
		"Latin-1 after CRLF and CR":       {"one\r\ntwo\rM\xfcller", 3, "byte 0xFC"},
		"a surrogate in UTF-8":            {"\xed\xa0\x80", 1, "byte 0xED"},
		"UTF-16 without a mark":           {"k\x00e\x00y\x00", 1, "byte-order mark"},
		"half a pair of UTF-16":           {"\xff\xfea\x00\n\x00\x00\xd8b\x00", 2, "surrogate"},
		"a second half alone":             {"\xfe\xff\xdc\x00", 1, "surrogate"},
		"a first half at the end":         {"\xfe\xff\xd8\x00", 1, "surrogate"},
		"half a unit of UTF-16":           {"\xff\xfea\x00b", 1, "within a UTF-16 character"},
		"a bell":                          {"one\n\x07", 2, "U+0007"},
		"Latin-1 that was called UTF-8":   {"\u0085", 1, "U+0085"},
		"what a converter could not read": {"one\nM\ufffdller", 2, "U+FFFD"},
	} {
		text, err := license.DecodeText("a.txt", []byte(c.file))
		var wrong *license.TextError
		if text != "" || !errors.As(err, &wrong) || wrong.Name != "a.txt" || wrong.Line != c.line || !strings.Contains(wrong.Reason, c.reason) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestASecretIsFoundInItsFile(t *testing.T) {
	const key = "CH-AAAAA-BBBBB-CCCCC-DDDDD-EEEEE-FFFFF-GGGGG"
	for text, want := range map[string]string{
		key: key,
		"\n# Acme, ordered by büro\n\n  " + key + "  \n":              key,
		key + " # until March":                                        key,
		"CH-AAAAA-BBBBB-CCCCC-\nDDDDD-EEEEE-FFFFF-\n  GGGGG # Acme\n": key,
		"cht_production_01jd_abc\n":                                   "cht_production_01jd_abc",
		"OLD KEY #7\n":                                                "OLD KEY #7", // of another system
	} {
		for name, file := range encodings(text) {
			if got, err := license.DecodeSecret("a.key", file); err != nil || got != want {
				t.Errorf("%q as %s: %q, %v", text, name, got, err)
			}
		}
	}
	for text, line := range map[string]int{
		"":                          1,
		"# nothing\n\n":             2,
		key + "\n" + key:            2,
		key + "\n# old:\nch-AAAAA":  3,
		"CH-AAAAA\u200b-BBBBB":      1,
		"one\n\u202eCH-AAAAA":       2,
		"# M\xfcller\n" + key:       1,
		"CH-AAAAA-\nBBBBB\u00ad-CC": 2,
	} {
		secret, err := license.DecodeSecret("a.key", []byte(text))
		var wrong *license.TextError
		if secret != "" || !errors.As(err, &wrong) || wrong.Line != line || strings.Contains(err.Error(), "AAAAA") {
			t.Errorf("%q: %q, %v", text, secret, err)
		}
	}
}

func TestARootSetIsFoundInItsFile(t *testing.T) {
	for _, text := range []string{
		`["a.b.c", "d.e.f"]`, "{\"rootset\":\n [\"a.b.c\",\n \"d.e.f\"]}", "# ours\na.b.c\n\nd.e.f\n",
	} {
		for name, file := range encodings(text) {
			if got, err := license.DecodeSet("root.json", "root set", file); err != nil || !reflect.DeepEqual(got, []string{"a.b.c", "d.e.f"}) {
				t.Errorf("%q as %s: %q, %v", text, name, got, err)
			}
		}
	}
	if got, err := license.DecodeSet("keys.json", "key set", []byte(`{"keyset":["a.b.c"]}`)); err != nil || len(got) != 1 {
		t.Errorf("a key set: %q, %v", got, err)
	}
	for _, text := range []string{"", "# none", "[]", `{"keyset":["a.b.c"]}`, "{}", `["a`, `{"rootset":["a.b.c"],"doc":"d.e.f"}`, "a.b.\xfc"} {
		if got, err := license.DecodeSet("root.json", "root set", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "root.json:1: ") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// A license file stays the same after any editor, mail program, or shell.
func TestALicenseFileIsTheSameInEveryEncoding(t *testing.T) {
	want := license.Bundle{V: 1, Doc: strings.Repeat("abc.", 40), Chain: []string{"d.e.f"}, KeySet: []string{"g.h.i"}}
	plain, err := license.EncodeBundle(want)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := bytes.ReplaceAll(plain, []byte("abc."), []byte("abc.\n  "))
	for _, text := range []string{string(plain), "# for Acme\n" + string(wrapped) + "\n", "Hello,\n\n" + string(license.Armor(plain)) + "\nYours, Büro\n"} {
		for name, file := range encodings(text) {
			if got, err := license.DecodeBundle(file); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, %v in %q", name, got, err, text)
			}
		}
	}
	if _, err := license.DecodeBundle([]byte("{\n\"doc\":\"\xfc\"}")); !errors.Is(err, license.ErrFormat) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("Latin-1 in a license file: %v", err)
	}
}

func TestWhatNobodySeesIsFound(t *testing.T) {
	for _, s := range []string{"", "ann", "Jörg Müller", "東京", "النظام", "हिन्दी", "a-b_c.d:e/f@g", "🔑", "x\u00a0y"} {
		if r, found := license.Invisible(s); found {
			t.Errorf("%q has U+%04X", s, r)
		}
	}
	for _, r := range "\x00\n\x1b\x7f\u0085\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u202e\u2028\u2060\u2066\u3164\ufe0f\ufeff\ufff9\ufffd\U000e0041\U0001d173" {
		if got, found := license.Invisible("ann" + string(r)); !found || got != r {
			t.Errorf("U+%04X is not found", r)
		}
	}
	if _, found := license.Invisible("J\xf6rg"); !found {
		t.Error("a byte that is not UTF-8 is not found")
	}
}

// Decoded text is valid text and decodes to itself.
func FuzzDecodeText(f *testing.F) {
	for _, file := range encodings("a\nb\tç") {
		f.Add(file)
	}
	f.Add([]byte("M\xfcller"))
	f.Fuzz(func(t *testing.T, file []byte) {
		text, err := license.DecodeText("f", file)
		if err != nil {
			return
		}
		if again, err := license.DecodeText("f", []byte(text)); !strings.HasPrefix(text, "\ufeff") && (err != nil || again != text) {
			t.Errorf("%q, then %q, %v", text, again, err)
		}
	})
}
