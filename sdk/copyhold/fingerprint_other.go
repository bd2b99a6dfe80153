//go:build !linux && !darwin && !windows

package copyhold

import "copyhold.dev/sdk/license"

// thisMachine reads what can be had without a system's own calls.
func thisMachine() machine {
	return machine{license.ComponentNetwork: networkCard()}
}
