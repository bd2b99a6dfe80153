package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// maxScanned is the maximum size of a file that is searched for secrets, in bytes.
const maxScanned = 64 << 20

// A pattern finds one kind of secret. Sure distinguishes a real secret from text that only
// looks like one.
type pattern struct {
	kind string
	re   *regexp.Regexp
	sure func(text string) bool
}

// secretPatterns returns the patterns of the secrets that Copyhold creates. Keys and tokens
// have checksums, so text that only looks like one is skipped.
func secretPatterns() []pattern {
	return []pattern{
		{"license key", regexp.MustCompile(`(?i)\bCH(-[0-9a-z]{5}){7}\b`), func(text string) bool {
			_, _, err := licensing.ParseKey(text)
			return err == nil
		}},
		{"token", regexp.MustCompile(`\bcht_[A-Za-z0-9_-]{40,200}`), func(text string) bool {
			_, _, err := access.ParseToken(text)
			return err == nil
		}},
		{"sealing key", regexp.MustCompile(`\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b`), func(string) bool { return true }},
	}
}

// secrets searches every file below a folder. It reports the file and line, but never the
// secret.
func (d *doctor) secrets(folder string) {
	patterns := secretPatterns()
	found, files := 0, 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return filepath.SkipDir
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxScanned {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, p := range patterns {
			for _, at := range p.re.FindAllIndex(text, -1) {
				if p.sure(string(text[at[0]:at[1]])) {
					found++
					d.note("secrets", "failed", "%s:%d contains a %s: replace the secret, and read it from a file instead", path, 1+bytes.Count(text[:at[0]], []byte("\n")), p.kind)
				}
			}
		}
		return nil
	})
	switch {
	case err != nil:
		d.note("secrets", "failed", "searching %s: %v", folder, err)
	case found == 0:
		d.note("secrets", "ok", "none found in %s below %s", licensing.Counted(files, "file"), folder)
	}
}
