package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// wide encodes text as Windows does if it saves UTF-16 as "Unicode".
func wide(text string) []byte {
	file := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(strings.ReplaceAll(text, "\n", "\r\n"))) {
		file = append(file, byte(unit), byte(unit>>8))
	}
	return file
}

// Key files, root sets, license files and plans can be saved by any editor. A file in another
// encoding is refused with its name and line, and nothing is sent.
func TestFilesAreReadInEveryEncoding(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	exported, err := s.ExportLicense(t.Context(), s.owner, s.license, request.Holder{})
	must(t, err)
	file, err := license.EncodeBundle(exported)
	must(t, err)
	url := "http://" + s.address
	key := write("wide.key", wide("# Acme, büro\n"+s.key[:20]+"\n"+s.key[20:]+"\n"))
	if d := (commandLine{url, key}).feature(t, "export"); d.Code != license.CodeOK {
		t.Errorf("a key in UTF-16: %+v", d)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		status, out, errs := commandLine{url, filepath.Join(dir, "latin.key")}.try(args...)
		if status != exitUsage || !strings.Contains(string(errs), want) {
			t.Errorf("%s: exit status %d: %s%s", args, status, out, errs)
		}
	}
	latin := write("latin.key", []byte("# Acme\n# b\xfcro\n"+s.key+"\n"))
	refused(latin+":2: byte 0xFC is not UTF-8", "check", "export")
	write("latin.key", []byte(s.key+"\n"))
	refused("not UTF-8", "lease", "acquire", "--pool", "seats", "--holder", "user:M\xfcller")
	refused("not UTF-8", "usage", "record", "calls", "1", "--id", "M\xfcller")
	refused("not UTF-8", "check", "M\xfcller")

	root := write("root.json", wide("# pinned\n"+string(s.root)))
	for name, data := range map[string][]byte{
		"plain.license": file, "wide.license": wide(string(file)), "wrapped.license": []byte("# for Acme\n" + strings.ReplaceAll(string(file), ".", ".\r\n  ")),
		"mail.license": wide("Hello,\n\n" + string(license.Armor(file))),
	} {
		if status, out, errs := (commandLine{}).try("verify", write(name, data), "--root-set", root); status != exitDone {
			t.Errorf("%s: exit status %d: %s%s", name, status, out, errs)
		}
	}
	plan := "product: lathe\nplan: other\nname: Müller\nterm: {length: 1y}\n"
	if status, out, errs := (commandLine{}).try("plan", "lint", write("wide.yaml", wide(plan))); status != exitDone {
		t.Errorf("a plan in UTF-16: exit status %d: %s%s", status, out, errs)
	}
	refused("latin.yaml:3: byte 0xFC", "plan", "lint", write("latin.yaml", []byte(strings.ReplaceAll(plan, "ü", "\xfc"))))
}

// All parts of a large file are checked before anything is imported. Each row with an error is
// named by its line in the file. Rows in another encoding need --encoding.
func TestALargeFileIsImportedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	customer, err := s.CreateCustomer(t.Context(), s.owner, licensing.Customer{Name: "Müller", Reference: "Müller"})
	must(t, err)
	const rows = importPart + 50
	var text strings.Builder
	text.WriteString("key;customer;plan;reference\r\n;;;\r\n") // a row's line is its number plus 3
	for n := range rows {
		fmt.Fprintf(&text, "OLD-KEY-%05d;ref:M\xfcller;studio;old-%d\r\n", n, n)
	}
	good := text.String()
	bad := strings.Replace(good, fmt.Sprintf("%05d;ref:M\xfcller;studio", rows-1), fmt.Sprintf("%05d;ref:M\xfcller;nothing", rows-1), 1)
	bad = strings.Replace(bad, "OLD-KEY-00001;ref:M\xfcller;studio", "OLD-KEY-00001;studio", 1)
	bad = strings.Replace(bad, "OLD-KEY-00007;ref:M\xfcller", "short;ref:M\xfcller", 1)
	token := filepath.Join(t.TempDir(), "owner.token")
	must(t, os.WriteFile(token, []byte(s.token), 0o600))
	imports := func(want int, text string, flags ...string) imported {
		t.Helper()
		file := filepath.Join(t.TempDir(), "old.csv")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		args := append([]string{"license", "import", file, "--token-file", token, "--environment", "production", "--timeout", patience.String()}, flags...)
		status, out, errs := commandLine{url: "http://" + s.address}.try(args...)
		if status != want {
			t.Fatalf("%s: exit status %d, not %d: %.500s%.500s", flags, status, want, out, errs)
		}
		var i imported
		_ = json.Unmarshal(out, &i) // wrong usage prints nothing
		return i
	}
	issued := func() int {
		t.Helper()
		page, err := s.Licenses(t.Context(), s.owner, catalog.LicenseFilter{Customer: customer.ID}, request.PageOf{Limit: 0})
		must(t, err)
		return len(page.Items)
	}
	imports(exitUsage, good) // it is not UTF-8, and Latin-1 is not guessed
	imports(exitUsage, good, "--encoding", "nonsense")
	latin := []string{"--encoding", "ISO-8859-1"}
	for _, flags := range [][]string{latin, append(latin, "--dry-run")} {
		i := imports(exitFailed, bad, flags...)
		if i.Failed != 3 || i.Errors[0].Line != 4 || i.Errors[1].Line != 10 || i.Errors[2].Line != rows+2 || issued() != 0 {
			t.Errorf("%s: %+v, and %d licenses", flags, i, issued())
		}
	}
	if i := imports(exitDone, good, append(latin, "--dry-run")...); i.Imported != rows || issued() != 0 || len(i.Licenses) != importShown ||
		fmt.Sprintf("%v %v %v", i.Licenses[99]["line"], i.Licenses[99]["customer_name"], i.Licenses[99]["reference"]) != "102 Müller old-99" {
		t.Errorf("a dry run: %d would be imported, %d are shown, and %d licenses", i.Imported, len(i.Licenses), issued())
	}
	if i := imports(exitFailed, bad, append(latin, "--partial")...); i.Imported != rows-3 || i.Failed != 3 {
		t.Errorf("%+v", i)
	}
	if i := imports(exitFailed, good, append(latin, "--partial")...); i.Imported != 3 || i.Failed != rows-3 || len(i.Errors) != importShown {
		t.Errorf("the others, later: %d imported, %d failed", i.Imported, i.Failed)
	}
	if d := (commandLine{"http://" + s.address, write(t, "OLD-KEY-00007")}).feature(t, "export"); d.Code != license.CodeOK {
		t.Errorf("an imported key: %+v", d)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
