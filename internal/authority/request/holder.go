package request

import (
	"maps"
	"slices"

	"copyhold.dev/internal/licensing"
)

// CheckHolder refuses a kind, an id or components that cannot identify a holder.
func CheckHolder(kind, id string, components map[string]string) error {
	if err := CheckNames(Text{"holder.id", id}, Text{"holder.kind", kind}); err != nil {
		return err
	}
	if len(components) > MaxComponents {
		return licensing.Errorf(licensing.Invalid, "the holder has more than %d components", MaxComponents).At("holder.components")
	}
	names, total := slices.Sorted(maps.Keys(components)), 0
	for n, name := range names {
		if err := CheckNames(Text{"holder.components", name}, Text{"holder.components", components[name]}); err != nil {
			return err
		}
		if err := checkMember(name, names[:n]); err != nil {
			return err
		}
		total += memberLen(name, components[name])
	}
	if total > maxBinding {
		return licensing.Errorf(licensing.Invalid, "the components take %d bytes of a document; at most %d are allowed", total, maxBinding).At("holder.components")
	}
	return nil
}

// A Holder identifies a machine, a user, a workload or any other named holder.
type Holder struct {
	Kind       string
	ID         string
	Name       string            // for people; it affects no decision
	Components map[string]string // of a machine: from name to hash
	Device     string            // thumbprint of the device's key
}
