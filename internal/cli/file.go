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
	forOwner = 0o600 // secrets, and what names persons
	forAll   = 0o644
)

// A target is the file that a command writes, named by --to or another flag. It replaces
// nothing and follows no link unless --force says so, and it has its name only when it is
// whole and on the disk: what a full disk or a kill cuts off replaces nothing either.
type target struct {
	flag  string // by which people name it, without --
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
			return err // before anything is asked of a server or made
		}
		return before(cmd, args)
	}
}

// given reports whether a file was named.
func (t target) given() bool { return t.name != "" }

// check refuses a file that could not be written.
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

// place returns where the file goes: at the end of a link that is followed.
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

// writeSecret writes a secret and ends its line.
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

// give gives a whole file its name. Without --force a file that has appeared there since
// it was looked for stays.
func (t target) give(whole, name string) error {
	if t.force {
		return os.Rename(whole, name)
	}
	err := os.Link(whole, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, exists := os.Lstat(name); exists == nil { // this file system has no links
		return fs.ErrExist
	}
	return os.Rename(whole, name)
}
