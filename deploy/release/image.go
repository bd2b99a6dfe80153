package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The image is the same as that of deploy/Containerfile.
const (
	imageUser = 65532
	imageData = "var/lib/copyhold"
	imageProg = "usr/bin/copyhold"
	imageCAs  = "etc/ssl/certs/ca-certificates.crt"
)

// writeImage writes an OCI archive with one image. The image's name is the version, and it has
// a variant for each Linux program.
func (r *release) writeImage(programs map[target]string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, t := range allTargets() {
		if t.system != "linux" || programs[t] == "" {
			continue
		}
		image, err := r.image(t, programs[t])
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: t.system, Architecture: t.arch},
		}})
	}
	folder := filepath.Join(r.work, "image")
	files, err := layout.Write(folder, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err == nil {
		err = files.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version}))
	}
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, "copyhold_"+r.version+"_oci.tar"))
	if err != nil {
		return err
	}
	return errors.Join(tarFolder(f, folder, r.at), f.Close())
}

func (r *release) image(t target, program string) (v1.Image, error) {
	content, err := r.layer(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: r.at}, CreatedBy: "make release"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = t.system, t.arch, v1.Time{Time: r.at}
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", imageUser, imageUser),
		Env:          []string{"PATH=/usr/bin", "COPYHOLD_DATA=/" + imageData, "COPYHOLD_LISTEN=0.0.0.0:7400"},
		Entrypoint:   []string{"/" + imageProg},
		Cmd:          []string{"serve"},
		Volumes:      map[string]struct{}{"/" + imageData: {}},
		ExposedPorts: map[string]struct{}{"7400/tcp": {}},
		Healthcheck:  &v1.HealthConfig{Test: []string{"CMD", "/" + imageProg, "health"}, Interval: 10 * time.Second, Timeout: 5 * time.Second, StartPeriod: 30 * time.Second},
		Labels: map[string]string{
			"org.opencontainers.image.title": "Copyhold", "org.opencontainers.image.version": r.version,
			"org.opencontainers.image.revision": r.commit, "org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// layer returns everything in the image: the program, the certificate authorities and a data
// folder.
func (r *release) layer(program string) ([]byte, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var authorities bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil { // a certificate file can't express constraints
			continue
		}
		if err := pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	folder := func(name string, owner int, mode int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner}
	}
	file := func(name string, size int, mode int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(size)}
	}
	for _, entry := range []struct {
		head tar.Header
		text []byte
	}{
		{folder("etc", 0, 0o755), nil}, {folder("etc/ssl", 0, 0o755), nil}, {folder("etc/ssl/certs", 0, 0o755), nil},
		{file(imageCAs, authorities.Len(), 0o644), authorities.Bytes()},
		{folder("usr", 0, 0o755), nil}, {folder("usr/bin", 0, 0o755), nil},
		{file(imageProg, len(text), 0o755), text},
		{folder("var", 0, 0o755), nil}, {folder("var/lib", 0, 0o755), nil}, {folder(imageData, imageUser, 0o700), nil},
	} {
		entry.head.ModTime, entry.head.Format = r.at, tar.FormatUSTAR
		if err := w.WriteHeader(&entry.head); err != nil {
			return nil, err
		}
		if _, err := w.Write(entry.text); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// tarFolder writes the files of an OCI layout, beginning with the file that identifies it.
func tarFolder(w io.Writer, folder string, at time.Time) error {
	var names []string
	err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, file)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b string) int {
		first := func(name string) int { return strings.Count(name, "oci-layout") }
		return cmp.Or(first(b)-first(a), strings.Compare(a, b))
	})
	t := tar.NewWriter(w)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		within, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(within), Mode: 0o644, Size: int64(len(text)), ModTime: at, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(head); err != nil {
			return err
		}
		if _, err := t.Write(text); err != nil {
			return err
		}
	}
	return t.Close()
}
