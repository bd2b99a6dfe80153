package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// profile optimizes the program for the work of a server. It doubles the build time, so it is
// used only for the system that servers run on.
const profile = "bench/copyhold.pgo"

// gocmd runs the go command outside of the workspace, and has it try this release's proxy first.
func (r *release) gocmd(ctx context.Context, environ []string, args ...string) error {
	have, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE", "GOPROXY", "GONOSUMDB").Output()
	if err != nil {
		return err
	}
	lines := strings.Split(string(have), "\n")
	cache, proxies, unsummed := lines[0], lines[1], lines[2]
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.work
	cmd.Env = append(os.Environ(), append([]string{
		"GOPATH=" + filepath.Join(r.work, "go"), "GOMODCACHE=" + filepath.Join(r.work, "modules"), "GOBIN=", "GOWORK=off", "CGO_ENABLED=0",
		"GOFLAGS=-modcacherw -trimpath", "GOPROXY=file://" + filepath.Join(r.work, "proxy") + ",file://" + cache + "/cache/download," + proxies,
		"GONOSUMDB=" + strings.Trim(unsummed+","+modulePath, ","),
	}, environ...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// build builds the program for t and returns its path.
func (r *release) build(ctx context.Context, t target) (string, error) {
	pgo := "off"
	if t.system == "linux" {
		pgo = filepath.Join(r.tree(), profile)
	}
	err := r.gocmd(ctx, []string{"GOOS=" + t.system, "GOARCH=" + t.arch}, "install", "-pgo="+pgo, modulePath+"/cmd/copyhold@"+r.version)
	folder := filepath.Join(r.work, "go", "bin")
	if t != (target{runtime.GOOS, runtime.GOARCH}) {
		folder = filepath.Join(folder, t.system+"_"+t.arch)
	}
	return filepath.Join(folder, t.program()), err
}

// writeManual creates the man pages and completions, which are the same in all archives.
func (r *release) writeManual(ctx context.Context) error {
	pages, scripts := filepath.Join(r.tree(), "man"), filepath.Join(r.tree(), "completions")
	for _, dir := range []string{pages, scripts} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	here := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.at.Unix(), 10)}
	if err := r.gocmd(ctx, here, "run", modulePath+"/scripts/manual@"+r.version, pages); err != nil {
		return err
	}
	program, err := r.build(ctx, target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return err
	}
	for shell, name := range map[string]string{"bash": "copyhold.bash", "zsh": "_copyhold", "fish": "copyhold.fish", "powershell": "copyhold.ps1"} {
		text, err := exec.CommandContext(ctx, program, "completion", shell).Output()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(scripts, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
