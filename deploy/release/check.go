package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// check verifies the files of a release as a person who downloads them can: the checksums, the
// contents of each archive, and each bill of materials against its program. It also starts
// every program that can run on this machine.
func check(ctx context.Context, dir string) error {
	if err := checkSums(dir); err != nil {
		return fmt.Errorf("checksums: %w", err)
	}
	names, err := released(dir)
	if err != nil {
		return err
	}
	archives := 0
	for _, name := range names {
		base, isTar := strings.CutSuffix(name, ".tar.gz")
		base, isZip := strings.CutSuffix(base, ".zip")
		if !isTar && !isZip {
			continue
		}
		archives++
		if err := checkArchive(ctx, dir, name, base); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	images, err := filepath.Glob(filepath.Join(dir, "copyhold_*_oci.tar"))
	if err != nil || len(images) != 1 || archives == 0 {
		return errors.Join(err, fmt.Errorf("found %d archives and %d images", archives, len(images)))
	}
	started, err := checkImage(ctx, images[0])
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(images[0]), err)
	}
	fmt.Printf("verified %d archives with their checksums and bills of materials, and an image for %s\n", archives, started)
	return nil
}

// checkSums compares every file with the list of checksums, and the list with the files that exist.
func checkSums(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return err
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		want, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || name != filepath.Base(name) {
			return fmt.Errorf("invalid line %q", line)
		}
		got, err := sumOf(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("the checksum of %s does not match", name)
		}
		listed = append(listed, name)
	}
	names, err := released(dir)
	if err == nil && !slices.Equal(names, listed) {
		err = fmt.Errorf("the list names %q, but the files are %q", listed, names)
	}
	return err
}

func checkArchive(ctx context.Context, dir, name, base string) error {
	files, err := unpacked(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	program := "copyhold"
	if strings.Contains(base, "_windows_") {
		program += ".exe"
	}
	for _, want := range []string{program, "LICENSE.txt", "README.md", "CHANGELOG.md", "man/copyhold.1", "man/copyhold-serve.1",
		"completions/copyhold.bash", "completions/_copyhold", "completions/copyhold.fish", "completions/copyhold.ps1"} {
		if len(files[base+"/"+want]) == 0 {
			return fmt.Errorf("%s is missing", want)
		}
	}
	text := files[base+"/"+program]
	if err := checkBill(filepath.Join(dir, base+".cdx.json"), text); err != nil {
		return err
	}
	if !strings.HasSuffix(base, "_"+runtime.GOOS+"_"+runtime.GOARCH) {
		return nil
	}
	root, err := os.MkdirTemp("", "copyhold-check")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	file := filepath.Join(root, program)
	if err := os.WriteFile(file, text, 0o755); err != nil {
		return err
	}
	fmt.Println("starting the program from", name)
	return starts(ctx, instance{program: file, data: filepath.Join(root, "data")}, version(base))
}

// version returns the version in a file's name: copyhold_VERSION_...
func version(base string) string { return strings.Split(base, "_")[1] }

// unpacked returns the files of an archive by name.
func unpacked(name string) (map[string][]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if path.Ext(name) == ".zip" {
		z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return nil, err
		}
		for _, f := range z.File {
			if files[f.Name], err = fileOf(text, f.Name); err != nil {
				return nil, err
			}
		}
		return files, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(z)
	for {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[head.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}

// checkBill compares a bill of materials with the modules that the toolchain recorded in the program.
func checkBill(name string, program []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(f, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return err
	}
	want := sha256.Sum256(program)
	if got := *bom.Metadata.Component.Hashes; got[0].Value != hex.EncodeToString(want[:]) {
		return fmt.Errorf("%s describes another program", filepath.Base(name))
	}
	listed := map[string]string{}
	for _, c := range *bom.Components {
		listed[c.Name] = c.Version
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			return fmt.Errorf("%s does not list %s %s", filepath.Base(name), m.Path, m.Version)
		}
	}
	if len(*bom.Components) != len(info.Deps)+1 || listed["std"] != info.GoVersion {
		return fmt.Errorf("%s lists more modules than the program contains, or another standard library", filepath.Base(name))
	}
	return nil
}

// checkImage validates an OCI archive. It starts the program of the variant for this machine,
// in the image's own files and as its user. It returns the architectures.
func checkImage(ctx context.Context, name string) (string, error) {
	work, err := os.MkdirTemp("", "copyhold-image")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	folder := filepath.Join(work, "layout")
	if err := untar(f, folder); err != nil {
		return "", err
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return "", err
	}
	if err := validate.Index(index); err != nil {
		return "", err
	}
	named, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	if len(named.Manifests) != 1 || named.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != version(filepath.Base(name)) {
		return "", errors.New("the archive has more than one image, or the image's name is not the version")
	}
	if index, err = index.ImageIndex(named.Manifests[0].Digest); err != nil {
		return "", err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	var all []string
	for _, m := range manifest.Manifests {
		all = append(all, m.Platform.String())
		if m.Platform.OS != runtime.GOOS || m.Platform.Architecture != runtime.GOARCH {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return "", err
		}
		config, err := image.ConfigFile()
		if err != nil {
			return "", err
		}
		root := filepath.Join(work, "root")
		files := mutate.Extract(image)
		err = errors.Join(untar(files, root), files.Close())
		if err != nil {
			return "", err
		}
		fmt.Println("starting the image for", m.Platform)
		if err := starts(ctx, inImage(root, config.Config), version(filepath.Base(name))); err != nil {
			return "", err
		}
	}
	return strings.Join(all, " and "), nil
}

// untar unpacks an archive with its modes and, for root, its owners.
func untar(from io.Reader, into string) error {
	t := tar.NewReader(from)
	for {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(head.Name) {
			return fmt.Errorf("%q is outside of the archive", head.Name)
		}
		name := filepath.Join(into, head.Name)
		if head.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			err = writeFile(name, t)
		}
		if err == nil {
			err = os.Chmod(name, head.FileInfo().Mode())
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(name, head.Uid, head.Gid)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(name string, from io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// An instance is a way to run the program.
type instance struct {
	program, data string
	environ       []string
	confine       func(*exec.Cmd) // may be nil
}

func (i instance) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, i.program, args...)
	cmd.Env = append(slices.Clone(i.environ), "COPYHOLD_DATA="+i.data)
	if i.confine != nil {
		i.confine(cmd)
	}
	return cmd
}

// patience is how long a busy machine may take to start a server.
const patience = 2 * time.Minute

// starts checks a program's version, and that it serves, is healthy and stops on request.
func starts(ctx context.Context, i instance, want string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := i.command(ctx, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "copyhold "+want+" ") {
		return fmt.Errorf("version %s prints %q: %w", want, out, err)
	}
	listen, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	var log bytes.Buffer
	server := i.command(ctx, "serve", "--listen", listen)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	for i.command(ctx, "health", "--listen", listen).Run() != nil {
		select {
		case err := <-ended:
			return fmt.Errorf("the server ended: %w\n%s", err, &log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("the server did not stop cleanly: %w\n%s", err, &log)
	}
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
