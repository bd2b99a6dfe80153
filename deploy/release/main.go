// Command release builds a release of Copyhold from a commit, and checks it.
//
// It builds the program with `go install copyhold.dev/cmd/copyhold@VERSION`, from a file-based
// module proxy that contains the commit as the tagged module. So the program that users install
// with that command is the same as the one they download. Two runs on the same commit with the
// same toolchain produce identical files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// A target is a system that the program is built for.
type target struct{ system, arch string }

func (t target) String() string { return t.system + "/" + t.arch }

// program is the program's file name.
func (t target) program() string {
	if t.system == "windows" {
		return "copyhold.exe"
	}
	return "copyhold"
}

func allTargets() []target {
	return []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out := flag.String("out", "../dist", "folder for the files; files from an earlier run are removed")
	only := flag.String("targets", "", "comma-separated systems to build for, for example linux/amd64; empty means all")
	proxy := flag.String("proxy", "", "only write the module proxy to this folder, from the current files, for go mod tidy")
	verify := flag.Bool("verify", false, "only check the existing files in the folder")
	flag.Parse()
	switch {
	case *proxy != "":
		return writeProxyOfTree(*proxy)
	case *verify:
		return check(ctx, *out)
	}
	targets, err := chosen(*only)
	if err != nil {
		return err
	}
	r, err := newRelease(ctx, *out)
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if err := r.make(ctx, targets); err != nil {
		return err
	}
	return check(ctx, *out)
}

func chosen(names string) ([]target, error) {
	if names == "" {
		return allTargets(), nil
	}
	all := allTargets()
	var targets []target
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown target %s; the targets are %v", name, all)
		}
		targets = append(targets, all[i])
	}
	return targets, nil
}

// make builds and packs everything, and then writes the checksums.
func (r *release) make(ctx context.Context, targets []target) error {
	if err := r.emptyOut(); err != nil {
		return err
	}
	if err := r.writeProxy(ctx); err != nil {
		return fmt.Errorf("packing the modules: %w", err)
	}
	if err := r.extract(); err != nil {
		return fmt.Errorf("unpacking the module: %w", err)
	}
	if err := r.writeManual(ctx); err != nil {
		return fmt.Errorf("writing completions and man pages: %w", err)
	}
	programs := map[target]string{}
	for _, t := range targets {
		fmt.Println("building for", t)
		name, err := r.build(ctx, t)
		if err != nil {
			return fmt.Errorf("building for %v: %w", t, err)
		}
		programs[t] = name
		if err := errors.Join(r.pack(t, name), r.describe(t, name)); err != nil {
			return fmt.Errorf("packing for %v: %w", t, err)
		}
	}
	if err := r.writeImage(programs); err != nil {
		return fmt.Errorf("building the image: %w", err)
	}
	return writeSums(r.out)
}

func (r *release) emptyOut() error {
	earlier, err := filepath.Glob(filepath.Join(r.out, "copyhold_*"))
	if err != nil {
		return err
	}
	for _, name := range append(earlier, filepath.Join(r.out, sumsFile)) {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.MkdirAll(r.out, 0o755)
}
