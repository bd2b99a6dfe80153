//go:build go1.25

package copyhold

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A key file that Windows saved as "Unicode", with wrapped lines and a comment, is read. A file in
// Latin-1 is refused, and the error names the line.
func TestAKeyFileIsReadInEveryEncoding(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.key")
	o := Options{Product: "lathe", Endpoints: []string{"http://one.test"}, KeyFile: file, CacheDir: noCache}
	none := func(string) string { return "" }
	var wide []byte
	for _, c := range []byte("# Acme\r\nOLD-KEY-\r\n0001\r\n") {
		wide = append(wide, c, 0)
	}
	must(t, os.WriteFile(file, append([]byte{0xff, 0xfe}, wide...), 0o600))
	if _, key, err := o.ready(none); err != nil || key.err != nil || key.text != "OLD-KEY-0001" {
		t.Errorf("%q, %v, %v", key.text, key.err, err)
	}
	must(t, os.WriteFile(file, []byte("# ok\n# B\xfcro\nOLD-KEY-0001\n"), 0o600))
	if _, key, _ := o.ready(none); key.text != "" || key.err == nil || !strings.Contains(key.err.Error(), file+":2: byte 0xFC") {
		t.Errorf("%q, %v", key.text, key.err)
	}
}

// Names that are too long, in another encoding, or contain an invisible character stay distinct and
// become ids that a server accepts. Other names are unchanged.
func TestTwoNamesNeverBecomeOne(t *testing.T) {
	long := strings.Repeat("ü", 150)
	seen := map[string]string{}
	for _, name := range []string{
		"M\xfcller", "M\xe4ller", "M\ufffdller", "Müller", "Mu\u0308ller", "ann", "ann\u200b", "\u202eann", long, long + "1", long + "2", "a\u00a0b",
	} {
		id := identifier(name)
		if other, twice := seen[id]; twice {
			t.Errorf("%q and %q are both %q", name, other, id)
		}
		seen[id] = name
		if len(id) > maxIdentifier || !utf8.ValidString(id) || checkIdentifiers(map[string]string{"it": id}) != nil || strings.ContainsAny(id, " \u00a0") {
			t.Errorf("%q becomes %q", name, id)
		}
	}
	for name, want := range map[string]string{"ann": "ann", "DOMAIN\\Jörg Müller": "DOMAIN\\Jörg_Müller", "a\tb": "a_b", strings.Repeat("x", 200): strings.Repeat("x", 200)} {
		if got := identifier(name); got != want {
			t.Errorf("%q became %q, and was %q", name, got, want)
		}
	}
	if got := description(strings.Repeat("ü", 101)); got != strings.Repeat("ü", 100) {
		t.Errorf("a long description is cut to %q", got)
	}
	if got := description("v" + long); got != "v"+strings.Repeat("ü", 99) {
		t.Errorf("a long description is cut within a character: %q", got)
	}
}

// A key is read in the same way from an option, a variable, and a file.
func TestAKeyIsCleanedWhereverItComesFrom(t *testing.T) {
	const key = "CH-5EKVZ-5CRK1-CFGK5-YAEM4-P7HKB-T1WA0-NZZXS"
	file := filepath.Join(t.TempDir(), "key")
	for _, tc := range []struct{ text, says string }{
		{key, ""},
		{"\ufeff" + key + "\r\n", ""},
		{"# of the build\n" + key[:20] + "\n  " + key[20:] + " # until May\n", ""},
		{"\u00a0" + key + "\u00a0", ""},
		{key[:9] + "\u200b" + key[9:], "U+200B"},
		{key + "\n" + key, "a second key"},
		{"# only a comment", "has only comments"},
		{key[:len(key)-1] + "T", "mistyped"},
	} {
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for source, given := range map[string]struct {
			options Options
			environ map[string]string
		}{
			"Options.Key":               {Options{Key: tc.text}, nil},
			"Options.KeyFile":           {Options{KeyFile: file}, nil},
			"COPYHOLD_LICENSE_KEY":      {Options{}, map[string]string{"COPYHOLD_LICENSE_KEY": tc.text}},
			"COPYHOLD_LICENSE_KEY_FILE": {Options{}, map[string]string{"COPYHOLD_LICENSE_KEY_FILE": file}},
		} {
			k, err := given.options.findKey(func(name string) string { return given.environ[name] })
			if err = errors.Join(err, k.err); tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s, %q: %v, want %q", source, tc.text, err, tc.says)
				}
			} else if err != nil || k.text != key {
				t.Errorf("%s, %q: %q, %v", source, tc.text, k.text, err)
			}
		}
	}
}

// An id from the program is refused if no server accepts it. JSON would turn the different bytes of
// two events, or of two people, into the same id.
func TestAnIDThatIsNoTextIsRefused(t *testing.T) {
	for _, id := range []string{"M\xfcller", "ann\u200b", "\u202eann", "a\x00b", "\ufffd"} {
		if err := (Usage{ID: id, Meter: "calls", Quantity: "1"}).check(nil); err == nil {
			t.Errorf("the event %q is accepted", id)
		}
		if err := (Usage{ID: "one", Meter: id, Quantity: "1"}).check(nil); err == nil {
			t.Errorf("the meter %q is accepted", id)
		}
		c := &Client{}
		if _, err := c.newLease("seats", AcquireOptions{Holder: &Holder{Kind: KindUser, ID: id}}); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("the holder %q: %v", id, err)
		}
	}
}
