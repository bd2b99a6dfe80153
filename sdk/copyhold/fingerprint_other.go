//go:build !linux && !darwin && !windows

package copyhold

import "copyhold.dev/sdk/license"

// thisMachine reads what is available without system-specific calls.
func thisMachine() machine {
	return machine{license.ComponentNetwork: networkCard()}
}
