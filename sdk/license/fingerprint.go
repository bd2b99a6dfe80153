package license

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// A Platform is a kind of machine, as far as what identifies it goes.
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
	What  string // where its value comes from, for people
}

// A ComponentClass says what a component travels with.
type ComponentClass string

// The classes. A copied disk carries ClassDisk along; machines of one make
// share ClassModel; only ClassHardware tells one machine from another.
const (
	ClassHardware ComponentClass = "hardware"
	ClassDisk     ComponentClass = "disk"
	ClassModel    ComponentClass = "model"
)

// Names of components.
const (
	ComponentBoard      = "board"      // firmware's UUID or board serial
	ComponentChassis    = "chassis"    // the case's serial
	ComponentDrive      = "drive"      // the system drive's own serial
	ComponentNetwork    = "network"    // address of the first built-in network card
	ComponentProcessor  = "processor"  // make, model and features
	ComponentSystem     = "system"     // the operating system's own id
	ComponentFilesystem = "filesystem" // id of the root file system
	ComponentInstance   = "instance"   // id the hypervisor gave the machine
	ComponentPod        = "pod"        // id the orchestrator gave the workload
	ComponentNode       = "node"       // the machine that runs the container
	ComponentVolume     = "volume"     // id of the persistent volume
	ComponentImage      = "image"      // digest of the container image
)

// Components returns what identifies a machine of a platform, the steadiest
// first: a pool that matches n of m means the first m that can be read.
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

// Class returns what a component travels with. A name of the vendor's own
// making, such as a dongle's, is taken for hardware.
func Class(component string) ComponentClass {
	switch component {
	case ComponentSystem, ComponentFilesystem, ComponentVolume:
		return ClassDisk
	case ComponentProcessor, ComponentImage:
		return ClassModel
	}
	return ClassHardware
}

// HashComponent returns what leaves the machine of a component: HMAC-SHA256
// with the product's salt over name and value, in hexadecimal. Case and outer
// space of the value do not matter. It is empty for a value that many machines
// share because nobody filled it in: such a component cannot be read.
func HashComponent(salt []byte, name, value string) string {
	value = strings.ToLower(strings.TrimSpace(value))
	if placeholder(value) {
		return ""
	}
	mac := hmac.New(sha256.New, salt)
	// A name holds no zero byte, so name and value cannot run together.
	mac.Write([]byte(name + "\x00" + value))
	return hex.EncodeToString(mac.Sum(nil))
}

// placeholder finds the values that makers leave in place of a serial number.
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

// A Match is how two fingerprints compare.
type Match struct {
	Same   bool
	Agree  []string // components with the same hash in both, by name
	Differ []string // of the known ones, those that changed or are missing
	Copied bool     // enough agree, but none that a copied disk would not carry
}

// Compare compares a machine's components with the known ones, both name to
// HashComponent. It is the same machine when at least need of the known ones
// agree, and one of them is hardware, where any hardware is known: replacing
// any one part leaves the same machine, copying its disk does not make one.
// Empty hashes agree with nothing. A need of 0 asks for all.
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
