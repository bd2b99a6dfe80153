// Command sentences draws sentences that people read from a commit, for a reading test:
// sentences [-n 60] [COMMIT]. It reads documents, help, messages and public Go documentation. The
// commit's hash is the seed, so everybody who draws from the same commit gets the same sentences
// and nobody can choose them.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing/fstest"
)

func main() {
	n := flag.Int("n", 60, "number of sentences")
	flag.Parse()
	commit := "HEAD"
	if flag.NArg() > 0 {
		commit = flag.Arg(0)
	}
	if flag.NArg() > 1 || *n < 1 {
		fmt.Fprintln(os.Stderr, "usage: sentences [-n 60] [COMMIT]")
		os.Exit(2)
	}
	if err := run(os.Stdout, commit, *n); err != nil {
		fmt.Fprintln(os.Stderr, "sentences:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, commit string, n int) error {
	hash, err := git("rev-parse", "--verify", commit+"^{commit}")
	if err != nil {
		return err
	}
	id := strings.TrimSpace(string(hash))
	archive, err := git("archive", id)
	if err != nil {
		return err
	}
	tree, err := unpack(archive)
	if err != nil {
		return err
	}
	sentences, err := read(tree)
	if err != nil {
		return err
	}
	visible := make([]sentence, 0, len(sentences))
	for _, s := range sentences {
		if s.kind != comment {
			visible = append(visible, s)
		}
	}
	drawn := draw(visible, id, n)
	fmt.Fprintf(w, "%d of %d sentences at %s\n\n", len(drawn), len(visible), id)
	for i, s := range drawn {
		fmt.Fprintf(w, "%2d. %s:%d (%s)\n    %s\n", i+1, s.file, s.line, s.kind, s.text)
	}
	return nil
}

// draw picks n sentences, or all if there are fewer. The same sentences and seed give the same
// draw.
func draw(from []sentence, seed string, n int) []sentence {
	picked := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(seed)))).Perm(len(from))
	drawn := make([]sentence, 0, n)
	for _, i := range picked[:min(n, len(picked))] {
		drawn = append(drawn, from[i])
	}
	return drawn
}

func git(args ...string) ([]byte, error) {
	out, err := exec.Command("git", args...).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("git %s: %s", args[0], bytes.TrimSpace(failed.Stderr))
	}
	return out, err
}

func unpack(archive []byte) (fstest.MapFS, error) {
	tree := fstest.MapFS{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		tree[header.Name] = &fstest.MapFile{Data: data}
	}
}
