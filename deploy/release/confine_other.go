//go:build !linux

package main

import (
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// inImage is never used on this system: there is no image for it.
func inImage(root string, config v1.Config) instance {
	return instance{program: filepath.Join(root, config.Entrypoint[0]), data: filepath.Join(root, imageData), environ: config.Env}
}
