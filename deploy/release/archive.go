package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sumsFile lists the checksum of every other file in the format of sha256sum --check.
const sumsFile = "SHA256SUMS"

// name returns the base name of a release file. In an archive, it is also the name of the folder.
func (r *release) name(t target) string {
	return "copyhold_" + r.version + "_" + t.system + "_" + t.arch
}

// companions returns the files that an archive contains in addition to the program.
func companions() []string {
	return []string{"LICENSE.txt", "README.md", "CHANGELOG.md", "man", "completions"}
}

// pack writes the archive for t: a zip for Windows, a compressed tar for other systems.
func (r *release) pack(t target, program string) error {
	files := map[string]string{t.program(): program}
	for _, name := range companions() {
		err := filepath.WalkDir(filepath.Join(r.tree(), name), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			within, err := filepath.Rel(r.tree(), file)
			files[filepath.ToSlash(within)] = file
			return err
		})
		if err != nil {
			return err
		}
	}
	name := filepath.Join(r.out, r.name(t)+".tar.gz")
	write := writeTar
	if t.system == "windows" {
		name, write = filepath.Join(r.out, r.name(t)+".zip"), writeZip
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f, r.name(t), files, r.at), f.Close())
}

// sorted returns the names of files in order, so that archives are reproducible.
func sorted(files map[string]string) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func modeOf(name string) fs.FileMode {
	if strings.HasPrefix(path.Base(name), "copyhold") && path.Dir(name) == "." {
		return 0o755
	}
	return 0o644
}

func writeTar(w io.Writer, folder string, files map[string]string, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, name := range sorted(files) {
		text, err := os.ReadFile(files[name])
		if err != nil {
			return err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: folder + "/" + name, Size: int64(len(text)), Mode: int64(modeOf(name)), ModTime: at, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(head); err != nil {
			return err
		}
		if _, err := t.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func writeZip(w io.Writer, folder string, files map[string]string, at time.Time) error {
	z := zip.NewWriter(w)
	for _, name := range sorted(files) {
		text, err := os.ReadFile(files[name])
		if err != nil {
			return err
		}
		head := &zip.FileHeader{Name: folder + "/" + name, Method: zip.Deflate, Modified: at}
		head.SetMode(modeOf(name))
		f, err := z.CreateHeader(head)
		if err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeSums writes the checksums of every file in a folder.
func writeSums(dir string) error {
	names, err := released(dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range names {
		sum, err := sumOf(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(dir, sumsFile), []byte(text.String()), 0o644)
}

// released returns the names of the files of a release in order, except the checksum file.
func released(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "copyhold_*"))
	for i, name := range found {
		found[i] = filepath.Base(name)
	}
	return found, err
}

func sumOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
