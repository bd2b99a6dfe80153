package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, not %q", err, words)
	}
}

func TestAChangedFileIsNoticed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "copyhold_v1_linux_amd64.tar.gz")
	write(t, file, []byte("archive"))
	if err := writeSums(dir); err != nil {
		t.Fatal(err)
	}
	if err := checkSums(dir); err != nil {
		t.Error(err)
	}
	write(t, file, []byte("Archive"))
	refused(t, checkSums(dir), "the checksum of copyhold_v1_linux_amd64.tar.gz does not match")
	write(t, file, []byte("archive"))
	write(t, filepath.Join(dir, "copyhold_v1_more.tar.gz"), nil)
	refused(t, checkSums(dir), "the list names")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused(t, checkSums(dir), "no such file")
}

// Only the unchanged bill of materials of this test's own program is accepted.
func TestAWrongBillIsNoticed(t *testing.T) {
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 3 {
		t.Fatalf("the toolchain recorded %d modules", len(info.Deps))
	}
	file := filepath.Join(t.TempDir(), "copyhold.cdx.json")
	bill := func(change func(*cyclonedx.BOM)) error {
		bom := billOf(info, sha256.Sum256(program), time.Unix(1e9, 0).UTC())
		change(bom)
		var text bytes.Buffer
		if err := cyclonedx.NewBOMEncoder(&text, cyclonedx.BOMFileFormatJSON).Encode(bom); err != nil {
			t.Fatal(err)
		}
		write(t, file, text.Bytes())
		return checkBill(file, program)
	}
	if err := bill(func(*cyclonedx.BOM) {}); err != nil {
		t.Error(err)
	}
	refused(t, bill(func(b *cyclonedx.BOM) { *b.Components = (*b.Components)[:2] }), "does not list")
	refused(t, bill(func(b *cyclonedx.BOM) { (*b.Components)[1].Version = "v0.0.1" }), "does not list")
	refused(t, bill(func(b *cyclonedx.BOM) { *b.Components = append(*b.Components, cyclonedx.Component{Name: "more"}) }), "lists more")
	refused(t, bill(func(b *cyclonedx.BOM) { (*b.Metadata.Component.Hashes)[0].Value = strings.Repeat("0", 64) }), "another program")
}

// An archive depends only on the contents of the files and the time of the commit.
func TestAnArchiveIsAlwaysTheSame(t *testing.T) {
	at := time.Unix(1e9, 0)
	pack := func(modified time.Time) [][]byte {
		dir := t.TempDir()
		files := map[string]string{}
		for _, name := range []string{"copyhold", "README.md", "man/copyhold.1"} {
			files[name] = filepath.Join(dir, filepath.Base(name))
			write(t, files[name], []byte(name))
			if err := os.Chtimes(files[name], modified, modified); err != nil {
				t.Fatal(err)
			}
		}
		var tarred, zipped bytes.Buffer
		if err := writeTar(&tarred, "folder", files, at); err != nil {
			t.Fatal(err)
		}
		if err := writeZip(&zipped, "folder", files, at); err != nil {
			t.Fatal(err)
		}
		return [][]byte{tarred.Bytes(), zipped.Bytes()}
	}
	first, second := pack(time.Unix(1, 0)), pack(time.Unix(2e9, 0))
	for i := range first {
		if !bytes.Equal(first[i], second[i]) {
			t.Errorf("archive %d differs", i)
		}
	}
}
