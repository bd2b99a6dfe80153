package copyhold

import (
	"context"
	"os/exec"
	"regexp"
	"syscall"
	"time"

	"copyhold.dev/sdk/license"
)

// thisMachine reads the I/O registry with a tool that is on every macOS.
func thisMachine() machine {
	m := machine{license.ComponentNetwork: networkCard()}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice").Output()
	if err == nil {
		m[license.ComponentBoard] = registryValue(out, "IOPlatformUUID")
		m[license.ComponentChassis] = registryValue(out, "IOPlatformSerialNumber")
	}
	if model, err := syscall.Sysctl("machdep.cpu.brand_string"); err == nil {
		m[license.ComponentProcessor] = model
	}
	return m
}

func registryValue(out []byte, name string) string {
	found := regexp.MustCompile(`"` + name + `" = "([^"]*)"`).FindSubmatch(out)
	if found == nil {
		return ""
	}
	return string(found[1])
}
