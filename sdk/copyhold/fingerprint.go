package copyhold

import (
	"net"
	"sort"

	"copyhold.dev/sdk/license"
)

// A machine describes the hardware and the system that the program runs on, by component names from
// package license. The values are unhashed and never leave the process.
type machine map[string]string

// hashed returns the components as they leave the process. The salt keeps two products from
// comparing them. Placeholder values are left out.
func (m machine) hashed(salt []byte) map[string]string {
	hashes := make(map[string]string, len(m))
	for name, value := range m {
		if hash := license.HashComponent(salt, name, value); hash != "" {
			hashes[name] = hash
		}
	}
	return hashes
}

// networkCard returns the first hardware address that is assigned by a manufacturer.
func networkCard() string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return ""
	}
	var cards []string
	for _, i := range interfaces {
		const local = 2 // set in addresses that software assigned
		if len(i.HardwareAddr) == 6 && i.HardwareAddr[0]&local == 0 && i.Flags&net.FlagLoopback == 0 {
			cards = append(cards, i.HardwareAddr.String())
		}
	}
	sort.Strings(cards)
	if len(cards) == 0 {
		return ""
	}
	return cards[0]
}
