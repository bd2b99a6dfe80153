package licensing

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

func components(n int, p license.Platform) map[string]string {
	all := map[string]string{}
	for _, c := range license.Components(p) {
		all[c.Name] = license.HashComponent([]byte("salt"), c.Name, fmt.Sprintf("%s %d", c.Name, n))
	}
	return all
}

func TestAMachineIsRecognisedAmongOthersWhateverOnePartIsReplaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]license.Platform{license.Linux, license.MacOS, license.Windows, license.VM, license.Container}).Draw(t, "platform")
		known := map[string]map[string]string{}
		for n := range rapid.IntRange(1, 5).Draw(t, "machines") {
			known[fmt.Sprintf("m%d", n)] = components(n, p)
		}
		mine := rapid.IntRange(0, len(known)-1).Draw(t, "mine")
		seen := components(mine, p)
		part := rapid.SampledFrom(license.Components(p)).Draw(t, "part").Name
		seen[part] = components(99, p)[part]
		m := Match{Need: 3, Of: 5}
		if id, copied := m.Recognise(known, seen); id != fmt.Sprintf("m%d", mine) || copied {
			t.Fatalf("machine m%d with another %s is taken for %q, copied %v", mine, part, id, copied)
		}
	})
}

func TestACopiedDiskIsNotRecognisedAndSaidToBeOne(t *testing.T) {
	known := map[string]map[string]string{"m": components(1, license.VM)}
	seen := components(2, license.VM)
	for name, hash := range known["m"] {
		if license.Class(name) != license.ClassHardware {
			seen[name] = hash
		}
	}
	if id, copied := (Match{Need: 3, Of: 5}).Recognise(known, seen); id != "" || !copied {
		t.Errorf("a copied disk is taken for %q, copied %v", id, copied)
	}
}

func TestFingerprintsThatCannotBeMatchedAreRefused(t *testing.T) {
	m := Match{Need: 3, Of: 5}
	if err := m.CheckComponents(components(1, license.Linux)); err != nil {
		t.Error(err)
	}
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprintf("c%d", i)] = components(1, license.Linux)[license.ComponentBoard]
	}
	for what, c := range map[string]map[string]string{
		"too few":    {"board": components(1, license.Linux)["board"]},
		"not a hash": {"board": "4c4c4544", "drive": "", "network": "x"},
		"too many":   many,
	} {
		if CodeOf(m.CheckComponents(c)) != Invalid {
			t.Errorf("%s: accepted", what)
		}
	}
}
