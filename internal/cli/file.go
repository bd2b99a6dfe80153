package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Modes of the files that commands write.
const (
	forOwner = 0o600 // secrets and personal data
	forAll   = 0o644
)

// A target is the file that a command writes, named by --to or another flag. Without --force
// it replaces no file and follows no link. It gets its name only once it is complete and on
// the disk, so a write that a full disk or a kill interrupts never replaces a file.
type target struct {
	flag  string // the flag that names it, without --
	name  string
	force bool
	mode  fs.FileMode
}

// flags declares --to and --force.
func (t *target) flags(cmd *cobra.Command, mode fs.FileMode, usage string) {
	t.flagsAs(cmd, "to", mode, usage)
}

// flagsAs declares a flag that names the file, and --force.
func (t *target) flagsAs(cmd *cobra.Command, flag string, mode fs.FileMode, usage string) {
	t.flag, t.mode = flag, mode
	cmd.Flags().StringVar(&t.name, flag, "", usage)
	cmd.Flags().BoolVar(&t.force, "force", false, "replace the file if it exists, even through a link")
	before := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := t.check(); err != nil {
			return err // before a server is asked or anything is created
		}
		return before(cmd, args)
	}
}

// given reports whether a file was named.
func (t target) given() bool { return t.name != "" }

// check returns an error if the file could not be written.
func (t target) check() error {
	if !t.given() {
		return nil
	}
	name, err := t.place()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".copyhold-*")
	if err != nil {
		return t.refused("%w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (t target) refused(format string, args ...any) error {
	return exitf(exitUsage, "--%s: %w", t.flag, fmt.Errorf(format, args...))
}

// place returns where to write the file, after following a link.
func (t target) place() (string, error) {
	info, err := os.Lstat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t.name, nil
	case err != nil:
		return "", t.refused("%w", err)
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink:
		return "", t.refused("%s exists and is not a regular file", t.name)
	case !t.force && info.Mode().Type() == fs.ModeSymlink:
		return "", t.refused("%s is a link; use --force to follow it", t.name)
	case !t.force:
		return "", t.refused("%s already exists; use --force to replace it", t.name)
	}
	name, err := filepath.EvalSymlinks(t.name)
	if err != nil {
		return "", t.refused("%w", err)
	}
	if info, err = os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return "", t.refused("%s points to %s, which is not a regular file", t.name, name)
	}
	return name, nil
}

// write writes the file.
func (t target) write(text []byte) error {
	_, err := t.copy(bytes.NewReader(text))
	return err
}

// writeSecret writes a secret and a newline.
func (t target) writeSecret(text string) error { return t.write([]byte(text + "\n")) }

// copy writes the file from a stream and returns its size in bytes.
func (t target) copy(from io.Reader) (int64, error) {
	name, err := t.place()
	if err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".partial-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	size, err := io.Copy(f, from)
	if err = errors.Join(err, f.Chmod(t.mode), f.Sync(), f.Close()); err == nil {
		err = t.give(f.Name(), name)
	}
	if err != nil {
		return size, fmt.Errorf("writing %s: %w", t.name, err)
	}
	return size, nil
}

// give renames a complete file to its final name. Without --force, it keeps a file that has
// appeared there in the meantime.
func (t target) give(whole, name string) error {
	if t.force {
		return os.Rename(whole, name)
	}
	err := os.Link(whole, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, exists := os.Lstat(name); exists == nil { // this file system has no hard links
		return fs.ErrExist
	}
	return os.Rename(whole, name)
}
