//go:build unix

package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spf13/cobra"
)

// Without --force, a command replaces no file and follows no link, and it reports that before it
// does anything else.
func TestAFileIsReplacedOnlyByForce(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(dir string) error // creates dir/file
		forced  string                 // the file that contains the text after --force; "" if that is refused too
	}{
		"a file":             {func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("before"), 0o644) }, "file"},
		"a link to a file":   {func(dir string) error { return os.Symlink("other", filepath.Join(dir, "file")) }, "other"},
		"a link to nothing":  {func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "file")) }, ""},
		"a link to a device": {func(dir string) error { return os.Symlink(os.DevNull, filepath.Join(dir, "file")) }, ""},
		"a folder":           {func(dir string) error { return os.Mkdir(filepath.Join(dir, "file"), 0o700) }, ""},
	} {
		for _, force := range []bool{false, true} {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("before"), 0o644))
			must(t, tc.prepare(dir))
			file := target{name: filepath.Join(dir, "file"), force: force, mode: forOwner}
			early, late := file.check(), file.writeSecret("after")
			if refused := !force || tc.forced == ""; refused != (early != nil) || refused != (late != nil) {
				t.Errorf("%s, force %v: %v, then %v", name, force, early, late)
			}
			text, _ := os.ReadFile(filepath.Join(dir, "other"))
			if want := map[bool]string{false: "before", true: "after\n"}[force && tc.forced == "other"]; string(text) != want {
				t.Errorf("%s, force %v: the other file holds %q", name, force, text)
			}
			if force && tc.forced != "" {
				info, err := os.Stat(filepath.Join(dir, tc.forced))
				must(t, err)
				if info.Mode().Perm() != forOwner {
					t.Errorf("%s: mode %v", name, info.Mode())
				}
			}
			left, err := filepath.Glob(filepath.Join(dir, "*partial*"))
			if must(t, err); len(left) > 0 {
				t.Errorf("%s: left behind: %v", name, left)
			}
		}
	}
}

// An interrupted write leaves the earlier file unchanged, or no file. A file that appears while
// the command runs is kept.
func TestAFileHasItsNameOnlyWhenItIsWhole(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("the network broke off")
	for _, force := range []bool{false, true} {
		file := target{name: filepath.Join(dir, "file"), force: force, mode: forAll}
		if force {
			must(t, os.WriteFile(file.name, []byte("before"), 0o644))
		}
		if _, err := file.copy(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("after")))); err == nil {
			t.Error("written")
		}
		if _, err := file.copy(iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Error(err)
		}
		entries, err := os.ReadDir(dir)
		if must(t, err); len(entries) != map[bool]int{false: 0, true: 1}[force] {
			t.Errorf("force %v: %v", force, entries)
		}
	}
	file := target{name: filepath.Join(dir, "late"), mode: forAll}
	must(t, file.check())
	_, err := file.copy(iotest.DataErrReader(readerFunc(func([]byte) (int, error) {
		return 0, errors.Join(os.WriteFile(file.name, []byte("theirs"), 0o600), broken)
	})))
	if err == nil {
		t.Error("written")
	}
	if err := file.write([]byte("ours")); err == nil {
		t.Error("a file that appeared was replaced")
	}
	if err := file.give(filepath.Join(dir, "file"), file.name); err == nil {
		t.Error("a file that appeared at the last moment was replaced")
	}
	if text, _ := os.ReadFile(file.name); string(text) != "theirs" {
		t.Errorf("%q", text)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The same rules apply to a profile and to the backup of a repair.
func TestAProfileAndARepairsBackupReplaceNothing(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	must(t, os.WriteFile(theirs, []byte("before"), 0o600))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("theirs", link))
	data := filepath.Join(dir, "data")
	for _, args := range [][]string{
		{"serve", "--data", data, "--listen", "127.0.0.1:0", "--cpu-profile", theirs},
		{"serve", "--data", data, "--listen", "127.0.0.1:0", "--cpu-profile", link},
		{"repair", "--data", data, "--apply", "--backup", theirs},
		{"repair", "--data", data, "--apply", "--backup", link},
	} {
		status, said := command([]string{"XDG_CONFIG_HOME=" + dir}, args...)
		if status != exitUsage || !strings.Contains(said, args[len(args)-2]+": "+args[len(args)-1]) {
			t.Errorf("%v: exit status %d: %s", args, status, said)
		}
		if text, _ := os.ReadFile(theirs); string(text) != "before" {
			t.Fatalf("%v wrote to it", args)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the refused commands created a data folder")
	}
	status, said := command([]string{"XDG_CONFIG_HOME=" + dir}, "repair", "--data", data, "--force")
	if status != exitUsage || !strings.Contains(said, "no effect without --apply") {
		t.Errorf("exit status %d: %s", status, said)
	}
}

// Every command that writes a file does it in the same way.
func TestEveryToCanBeForced(t *testing.T) {
	found := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.Flags().Lookup("to") == nil {
			return
		}
		found++
		if cmd.Flags().Lookup("force") == nil {
			t.Errorf("%s --to has no --force", cmd.CommandPath())
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], placeholders(cmd)...)
		status, said := command([]string{"COPYHOLD_TOKEN=cht_x", "XDG_CONFIG_HOME=" + t.TempDir()}, append(args, "--url", "http://127.0.0.1:1", "--to", "file_test.go")...)
		if cmd.Name() != "make" && (status != exitUsage || !strings.Contains(said, "file_test.go already exists; use --force to replace it")) {
			t.Errorf("%s: exit status %d: %s", cmd.CommandPath(), status, said)
		}
	}
	walk((&cli{}).rootCommand())
	if found < 14 {
		t.Errorf("only %d commands write a file", found)
	}
}
