package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// inImage runs an image's program in the image's files. If run by root, it is confined to them
// and runs as the image's user, as in a container. Other users cannot do that.
func inImage(root string, config v1.Config) instance {
	i := instance{program: filepath.Join(root, config.Entrypoint[0]), data: filepath.Join(root, imageData), environ: config.Env}
	if os.Geteuid() == 0 {
		i.program, i.data = config.Entrypoint[0], "/"+imageData
		i.confine = func(cmd *exec.Cmd) {
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
		}
	}
	return i
}
