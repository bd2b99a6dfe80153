package copyhold

import (
	"net"
	"sort"

	"copyhold.dev/sdk/license"
)

// A machine is what identifies the hardware and system that a program runs on, by the
// names of package license. The values are in the clear and never leave the process.
type machine map[string]string

// hashed returns the components as they leave the process, salted so that no two products
// can be compared. What nobody has filled in is left out.
func (m machine) hashed(salt []byte) map[string]string {
	hashes := make(map[string]string, len(m))
	for name, value := range m {
		if hash := license.HashComponent(salt, name, value); hash != "" {
			hashes[name] = hash
		}
	}
	return hashes
}

// networkCard returns the first address that was burnt into a network card.
func networkCard() string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return ""
	}
	var cards []string
	for _, i := range interfaces {
		const local = 2 // set in addresses that software made up
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
