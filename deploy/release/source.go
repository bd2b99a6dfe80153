package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	modzip "golang.org/x/mod/zip"
)

const modulePath = "copyhold.dev"

// A release is built from one commit.
type release struct {
	root, out string // folders of the source tree and of the release files
	repo      string // folder of the repository, which differs from root in a worktree
	work      string // folder for temporary files
	commit    string
	version   string
	at        time.Time // time of the commit; every file in an archive has it
}

// newRelease determines the version of HEAD: its tag, or a pseudo-version.
func newRelease(ctx context.Context, out string) (*release, error) {
	root, err := git(ctx, ".", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	if changed, err := git(ctx, root, "status", "--porcelain"); err != nil || changed != "" {
		return nil, errors.Join(err, errors.New("there are uncommitted changes, and a release needs a commit: commit or stash them"))
	}
	r := &release{root: root}
	if r.out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	common, err := git(ctx, root, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, err
	}
	r.repo = filepath.Dir(common)
	if r.commit, err = git(ctx, root, "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	seconds, err := git(ctx, root, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return nil, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, err
	}
	r.at = time.Unix(unix, 0).UTC()
	tags, err := git(ctx, root, "tag", "--points-at", "HEAD", "--list", "v*")
	if err != nil {
		return nil, err
	}
	r.version = module.PseudoVersion("v0", "", r.at, r.commit[:12])
	for tag := range strings.FieldsSeq(tags) {
		if semver.IsValid(tag) && (module.IsPseudoVersion(r.version) || semver.Compare(tag, r.version) > 0) {
			r.version = tag
		}
	}
	r.work, err = os.MkdirTemp("", "copyhold-release")
	return r, err
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// writeProxy writes the commit and the SDK that it requires in the layout of a module proxy. If
// the SDK's tag exists, writeProxy uses that tag.
func (r *release) writeProxy(ctx context.Context) error {
	text, err := git(ctx, r.root, "show", "HEAD:go.mod")
	if err != nil {
		return err
	}
	sdk, err := required(text)
	if err != nil {
		return err
	}
	revision := r.commit
	if tag := "sdk/" + sdk; exec.CommandContext(ctx, "git", "-C", r.root, "rev-parse", "--quiet", "--verify", "refs/tags/"+tag).Run() == nil {
		revision = tag
	}
	from := func(revision, folder string) packer {
		return func(w io.Writer, m module.Version) error { return modzip.CreateFromVCS(w, m, r.repo, revision, folder) }
	}
	proxy := filepath.Join(r.work, "proxy")
	return errors.Join(
		addModule(proxy, module.Version{Path: modulePath, Version: r.version}, r.at, from(r.commit, "")),
		addModule(proxy, module.Version{Path: modulePath + "/sdk", Version: sdk}, r.at, from(revision, "sdk")))
}

// writeProxyOfTree writes the SDK in the source tree as the version that go.mod requires.
func writeProxyOfTree(proxy string) error {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		return err
	}
	sdk, err := required(string(text))
	if err != nil {
		return err
	}
	return addModule(proxy, module.Version{Path: modulePath + "/sdk", Version: sdk}, time.Now().UTC(), func(w io.Writer, m module.Version) error {
		return modzip.CreateFromDir(w, m, "../sdk")
	})
}

// required returns the version of the SDK that a go.mod requires.
func required(mod string) (string, error) {
	f, err := modfile.Parse("go.mod", []byte(mod), nil)
	if err != nil {
		return "", err
	}
	for _, r := range f.Require {
		if r.Mod.Path == modulePath+"/sdk" {
			return r.Mod.Version, nil
		}
	}
	return "", errors.New("go.mod does not require the SDK")
}

// A packer writes a module's zip file.
type packer func(w io.Writer, m module.Version) error

// addModule writes the files that a proxy has for one version of a module.
func addModule(proxy string, m module.Version, at time.Time, pack packer) error {
	dir := filepath.Join(proxy, filepath.FromSlash(m.Path), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := pack(&packed, m); err != nil {
		return err
	}
	mod, err := fileOf(packed.Bytes(), m.String()+"/go.mod")
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{m.Version, at})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{m.Version + ".zip": packed.Bytes(), m.Version + ".mod": mod, m.Version + ".info": info, "list": []byte(m.Version + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func fileOf(packed []byte, name string) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// tree returns the folder with the module's files.
func (r *release) tree() string { return filepath.Join(r.work, "tree") }

func (r *release) extract() error {
	m := module.Version{Path: modulePath, Version: r.version}
	return modzip.Unzip(r.tree(), m, filepath.Join(r.work, "proxy", modulePath, "@v", r.version+".zip"))
}
