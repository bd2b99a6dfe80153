package copyhold

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"copyhold.dev/sdk/license"
)

// thisMachine reads the registry and the firmware tables.
func thisMachine() machine {
	board, chassis := firmwareNames(firmwareTable())
	return machine{
		license.ComponentBoard:      board,
		license.ComponentChassis:    chassis,
		license.ComponentNetwork:    networkCard(),
		license.ComponentSystem:     registryText(`SOFTWARE\Microsoft\Cryptography`, "MachineGuid"),
		license.ComponentProcessor:  registryText(`HARDWARE\DESCRIPTION\System\CentralProcessor\0`, "ProcessorNameString"),
		license.ComponentFilesystem: volumeSerial(),
	}
}

func registryText(path, name string) string {
	var key syscall.Handle
	p, err := syscall.UTF16PtrFromString(path)
	if err != nil || syscall.RegOpenKeyEx(syscall.HKEY_LOCAL_MACHINE, p, 0, syscall.KEY_READ|syscall.KEY_WOW64_64KEY, &key) != nil {
		return ""
	}
	defer syscall.RegCloseKey(key)
	n, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return ""
	}
	var kind uint32
	var buffer [128]uint16
	size := uint32(len(buffer) * 2)
	if syscall.RegQueryValueEx(key, n, nil, &kind, (*byte)(unsafe.Pointer(&buffer[0])), &size) != nil || kind != syscall.REG_SZ {
		return ""
	}
	return syscall.UTF16ToString(buffer[:])
}

// volumeSerial returns the serial number of the system volume.
func volumeSerial() string {
	root, err := syscall.UTF16PtrFromString(os.Getenv("SystemDrive") + `\`)
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("GetVolumeInformationW")
	if err != nil || call.Find() != nil {
		return ""
	}
	var serial uint32
	if ok, _, _ := call.Call(uintptr(unsafe.Pointer(root)), 0, 0, uintptr(unsafe.Pointer(&serial)), 0, 0, 0, 0); ok == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(serial), 16)
}

// firmwareTable returns the raw SMBIOS table, without its header of 8 bytes.
func firmwareTable() []byte {
	const provider = 'R'<<24 | 'S'<<16 | 'M'<<8 | 'B'
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("GetSystemFirmwareTable")
	if call.Find() != nil {
		return nil
	}
	size, _, _ := call.Call(provider, 0, 0, 0)
	if size < 8 || size > 1<<20 {
		return nil
	}
	table := make([]byte, size)
	if n, _, _ := call.Call(provider, 0, uintptr(unsafe.Pointer(&table[0])), size); n != size {
		return nil
	}
	return table[8:]
}

// firmwareNames finds the system's UUID and the serial number of its case in an SMBIOS table (types
// 1 and 3).
func firmwareNames(table []byte) (uuid, chassis string) {
	for len(table) >= 4 && table[1] >= 4 && int(table[1]) <= len(table) {
		fields, rest := table[:table[1]], table[table[1]:]
		texts, used := firmwareTexts(rest)
		if used == 0 {
			break
		}
		switch {
		case table[0] == 1 && len(fields) >= 24:
			uuid = hex.EncodeToString(fields[8:24])
		case table[0] == 3 && len(fields) >= 8 && fields[7] > 0 && int(fields[7]) <= len(texts):
			chassis = texts[fields[7]-1]
		}
		table = rest[used:]
	}
	return uuid, chassis
}

// firmwareTexts reads the texts that follow a structure, up to two zero bytes, and returns how many
// bytes they take. It returns 0 if the table ends before that.
func firmwareTexts(rest []byte) (texts []string, used int) {
	end := bytes.Index(rest, []byte{0, 0})
	if end < 0 {
		return nil, 0
	}
	return strings.Split(string(rest[:end]), "\x00"), end + 2
}
