package copyhold

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"copyhold.dev/sdk/license"
)

// thisMachine reads what Linux shows without privileges, and more if the process has them.
func thisMachine() machine {
	if inContainer() {
		return thisContainer()
	}
	m := machine{
		license.ComponentSystem:     firstLine("/etc/machine-id"),
		license.ComponentNetwork:    networkCard(),
		license.ComponentProcessor:  processor(),
		license.ComponentFilesystem: rootFilesystem(),
	}
	firmware := firstLine("/sys/class/dmi/id/product_uuid") // readable only by root
	if isVirtual(firstLine("/sys/class/dmi/id/sys_vendor") + " " + firstLine("/sys/class/dmi/id/product_name")) {
		m[license.ComponentInstance] = firmware
		if firmware == "" {
			m[license.ComponentInstance] = firstLine("/run/cloud-init/.instance-id")
		}
		m[license.ComponentNetwork] = guestCard()
		return m
	}
	m[license.ComponentBoard] = firmware
	m[license.ComponentDrive] = driveSerial()
	return m
}

// guestCard returns the first address of a network card that the hypervisor gave the machine.
// Software assigned the address, but a copy of the disk gets another one. Cards that software
// inside the machine created have no device.
func guestCard() string {
	cards, err := filepath.Glob("/sys/class/net/*/device")
	if err != nil {
		return ""
	}
	for _, card := range cards {
		if address := firstLine(filepath.Join(filepath.Dir(card), "address")); address != "" {
			return address
		}
	}
	return ""
}

// thisContainer identifies the container. It uses neither the image nor the host because containers
// share both.
func thisContainer() machine {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return machine{
		license.ComponentPod:       name,
		license.ComponentVolume:    rootFilesystem(),
		license.ComponentProcessor: processor(),
	}
}

func firstLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strings.TrimSpace(line)
}

func inContainer() bool {
	for _, path := range []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return strings.Contains(firstLine("/proc/1/environ"), "container=")
}

func isVirtual(vendor string) bool {
	vendor = strings.ToLower(vendor)
	for _, name := range []string{
		"qemu", "kvm", "vmware", "virtualbox", "innotek", "xen", "amazon ec2", "google compute", "virtual machine",
		"parallels", "bhyve", "openstack", "digitalocean", "hetzner", "firecracker",
	} {
		if strings.Contains(vendor, name) {
			return true
		}
	}
	return false
}

func processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return value
		}
	}
	return ""
}

// rootFilesystem returns the UUID of the root file system. It finds the link in by-uuid that has
// the same device number.
func rootFilesystem() string {
	var root syscall.Stat_t
	if syscall.Stat("/", &root) != nil {
		return ""
	}
	links, err := filepath.Glob("/dev/disk/by-uuid/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		var device syscall.Stat_t
		if syscall.Stat(link, &device) == nil && uint64(device.Rdev) == uint64(root.Dev) { //nolint:unconvert // their types differ on mips
			return filepath.Base(link)
		}
	}
	return ""
}

// driveSerial returns the serial number of the drive that the root is on, or else of the first
// drive that reports one.
func driveSerial() string {
	var root syscall.Stat_t
	if syscall.Stat("/", &root) == nil {
		device := fmt.Sprintf("/sys/dev/block/%d:%d", root.Dev>>8&0xfff, root.Dev&0xff|root.Dev>>12&0xfff00)
		if path, err := filepath.EvalSymlinks(device); err == nil {
			for _, drive := range []string{path, filepath.Dir(path)} {
				if serial := serialOf(drive); serial != "" {
					return serial
				}
			}
		}
	}
	drives, err := filepath.Glob("/sys/block/*")
	if err != nil {
		return ""
	}
	for _, drive := range drives {
		if serial := serialOf(drive); serial != "" {
			return serial
		}
	}
	return ""
}

func serialOf(drive string) string {
	for _, name := range []string{"serial", "device/serial", "wwid", "device/wwid"} {
		if serial := firstLine(filepath.Join(drive, name)); serial != "" {
			return serial
		}
	}
	return ""
}
