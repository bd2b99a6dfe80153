package license

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// A Platform is a kind of machine. It determines which components identify the machine.
type Platform string

// The platforms. Container and VM come before the operating system inside.
const (
	Linux     Platform = "linux"
	MacOS     Platform = "macos"
	Windows   Platform = "windows"
	Container Platform = "container"
	VM        Platform = "vm"
)

// A Component is one named part of a machine's fingerprint.
type Component struct {
	Name  string
	Class ComponentClass
	What  string // source of its value, for people
}

// A ComponentClass describes what a component is tied to.
type ComponentClass string

// The classes. ClassDisk is copied along with a disk. Machines of the same model share ClassModel.
// Only ClassHardware distinguishes two machines.
const (
	ClassHardware ComponentClass = "hardware"
	ClassDisk     ComponentClass = "disk"
	ClassModel    ComponentClass = "model"
)

// Names of components.
const (
	ComponentBoard      = "board"      // UUID in the firmware, or the board's serial number
	ComponentChassis    = "chassis"    // serial number of the case
	ComponentDrive      = "drive"      // serial number of the system drive
	ComponentNetwork    = "network"    // address of the first built-in network card
	ComponentProcessor  = "processor"  // make, model, and features
	ComponentSystem     = "system"     // id of the operating system installation
	ComponentFilesystem = "filesystem" // id of the root file system
	ComponentInstance   = "instance"   // id from the hypervisor
	ComponentPod        = "pod"        // id from the orchestrator
	ComponentNode       = "node"       // the machine that runs the container
	ComponentVolume     = "volume"     // id of the persistent volume
	ComponentImage      = "image"      // digest of the container image
)

// Components returns the components that identify a machine of a platform, the most stable first. A
// pool that matches n of m uses the first m that can be read.
func Components(p Platform) []Component {
	board := Component{ComponentBoard, ClassHardware, "firmware UUID"}
	network := Component{ComponentNetwork, ClassHardware, "address of the first built-in network card"}
	drive := Component{ComponentDrive, ClassHardware, "serial number of the system drive"}
	processor := Component{ComponentProcessor, ClassModel, "processor make, model and features"}
	filesystem := Component{ComponentFilesystem, ClassDisk, "UUID of the root file system"}
	switch p {
	case Linux:
		return []Component{board, drive, network, {ComponentSystem, ClassDisk, "/etc/machine-id"}, processor, filesystem}
	case MacOS:
		return []Component{board, {ComponentChassis, ClassHardware, "serial number"}, network, {ComponentSystem, ClassDisk, "volume group UUID"}, processor}
	case Windows:
		return []Component{board, drive, network, {ComponentSystem, ClassDisk, "MachineGuid"}, processor, {ComponentFilesystem, ClassDisk, "serial number of the system volume"}}
	case VM:
		return []Component{{ComponentInstance, ClassHardware, "instance id of the cloud or UUID of the hypervisor"}, network, {ComponentSystem, ClassDisk, "the guest's own id"}, filesystem, processor}
	case Container:
		return []Component{{ComponentPod, ClassHardware, "id of the pod or container"}, {ComponentNode, ClassHardware, "id of the node"}, {ComponentVolume, ClassDisk, "id of the persistent volume"}, {ComponentImage, ClassModel, "digest of the image"}, processor}
	}
	return nil
}

// Class returns what a component is tied to. A vendor's own component, such as a dongle, counts as
// hardware.
func Class(component string) ComponentClass {
	switch component {
	case ComponentSystem, ComponentFilesystem, ComponentVolume:
		return ClassDisk
	case ComponentProcessor, ComponentImage:
		return ClassModel
	}
	return ClassHardware
}

// HashComponent returns the form in which a component leaves the machine: HMAC-SHA256 with the
// product's salt over name and value, in hexadecimal. The case of the value and spaces around it do
// not matter. The result is empty for a placeholder that many machines share; such a component
// counts as not readable.
func HashComponent(salt []byte, name, value string) string {
	value = strings.ToLower(strings.TrimSpace(value))
	if placeholder(value) {
		return ""
	}
	mac := hmac.New(sha256.New, salt)
	// A name contains no zero byte, so name and value cannot run together.
	mac.Write([]byte(name + "\x00" + value))
	return hex.EncodeToString(mac.Sum(nil))
}

// placeholder reports whether a value is one that manufacturers use in place of a serial number.
func placeholder(value string) bool {
	same := strings.Trim(value, "-:. ")
	if same == "" || strings.Trim(same, same[:1]+"-:. ") == "" {
		return true // empty, all zeros, all f
	}
	switch same {
	case "none", "n/a", "na", "null", "unknown", "default", "default string", "not specified", "not available",
		"not applicable", "not present", "invalid", "oem", "o.e.m", "to be filled by o.e.m", "system serial number",
		"base board serial number", "chassis serial number", "serial number", "0123456789", "123456789", "1234567890",
		"03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc":
		return true
	}
	return false
}

// A Match is the result of comparing two fingerprints.
type Match struct {
	Same   bool
	Agree  []string // components with the same hash in both, by name
	Differ []string // known components that changed or are missing
	Copied bool     // enough agree, but a copied disk would explain all of them
}

// Compare compares a machine's components with the known ones. Both map names to hashes from HashComponent.
// The machine is the same if at least need of the known components agree and, if any hardware is
// known, one of them is hardware. Replacing one part thus leaves the same machine, but a copied
// disk is another machine. Empty hashes never agree. A need of 0 requires all.
func Compare(known, seen map[string]string, need int) Match {
	var m Match
	hardware, same := 0, 0
	for _, name := range slices.Sorted(maps.Keys(known)) {
		hash := known[name]
		if hash == "" {
			continue
		}
		isHardware := Class(name) == ClassHardware
		if isHardware {
			hardware++
		}
		if seen[name] != hash {
			m.Differ = append(m.Differ, name)
			continue
		}
		m.Agree = append(m.Agree, name)
		if isHardware {
			same++
		}
	}
	if need <= 0 {
		need = len(m.Agree) + len(m.Differ)
	}
	enough := len(m.Agree) >= need && need > 0
	m.Copied = enough && hardware > 0 && same == 0
	m.Same = enough && !m.Copied
	return m
}
