package license

import (
	"fmt"
	"slices"
	"testing"
)

// machine returns the hashed components of machine number n. Components that machines of the same
// model share are the same for all n.
func machine(p Platform, n int) map[string]string {
	all := map[string]string{}
	for _, c := range Components(p) {
		value := fmt.Sprintf("%s-%d", c.Name, n)
		if c.Class == ClassModel {
			value = c.Name + "-of-one-make"
		}
		all[c.Name] = HashComponent([]byte("salt of a product"), c.Name, value)
	}
	return all
}

func platforms() []Platform { return []Platform{Linux, MacOS, Windows, Container, VM} }

func TestReplacingAnyOneComponentIsStillTheSameMachine(t *testing.T) {
	for _, p := range platforms() {
		known, other := machine(p, 1), machine(p, 2)
		for need := 1; need < len(known); need++ {
			for name := range known {
				seen := machine(p, 1)
				seen[name] = other[name]
				if m := Compare(known, seen, need); !m.Same {
					t.Errorf("%s, %d of %d, another %s: %+v", p, need, len(known), name, m)
				}
				delete(seen, name)
				if m := Compare(known, seen, need); !m.Same {
					t.Errorf("%s, %d of %d, %s unreadable: %+v", p, need, len(known), name, m)
				}
			}
		}
	}
}

func TestACopiedDiskImageIsAnotherMachine(t *testing.T) {
	for _, p := range platforms() {
		known, copied := machine(p, 1), machine(p, 2)
		disk := 0
		for name, hash := range known {
			if Class(name) == ClassDisk {
				copied[name] = hash
				disk++
			}
		}
		for need := 1; need <= len(known); need++ {
			if m := Compare(known, copied, need); m.Same {
				t.Errorf("%s, %d of %d: a copy is taken for the machine: %+v", p, need, len(known), m)
			}
		}
		if disk == 0 {
			t.Errorf("%s has no component that a disk carries", p)
		}
		if m := Compare(known, copied, disk); !m.Copied {
			t.Errorf("%s: a copy is not recognized as one: %+v", p, m)
		}
	}
}

func TestAnotherMachineOfTheSameMakeIsAnotherMachine(t *testing.T) {
	for _, p := range platforms() {
		if m := Compare(machine(p, 1), machine(p, 2), 1); m.Same {
			t.Errorf("%s: %+v", p, m)
		}
	}
}

func TestComponentsNobodyFilledInAreNotCounted(t *testing.T) {
	salt := []byte("salt")
	for _, v := range []string{"", "  ", "To be filled by O.E.M.", "00000000-0000-0000-0000-000000000000", "FF:FF:FF:FF:FF:FF", "Default string", "None", "0123456789"} {
		if h := HashComponent(salt, ComponentBoard, v); h != "" {
			t.Errorf("%q is taken for a serial number", v)
		}
	}
	if HashComponent(salt, ComponentBoard, " 4C4C4544-0042 \n") != HashComponent(salt, ComponentBoard, "4c4c4544-0042") {
		t.Error("case or space make another component")
	}
	known := map[string]string{ComponentBoard: "", ComponentDrive: ""}
	if m := Compare(known, known, 1); m.Same || len(m.Agree) != 0 {
		t.Errorf("two machines of which nothing is known are the same: %+v", m)
	}
}

func TestHashesDependOnSaltNameAndValue(t *testing.T) {
	seen := []string{}
	for _, salt := range []string{"a", "b"} {
		for _, name := range []string{"board", "boar"} {
			for _, value := range []string{"x1", "dx1"} {
				h := HashComponent([]byte(salt), name, value)
				if len(h) != 64 || slices.Contains(seen, h) {
					t.Errorf("%s %s %s: %q", salt, name, value, h)
				}
				seen = append(seen, h)
			}
		}
	}
}

func TestABindingMatchesItsMachineOnly(t *testing.T) {
	b := &Binding{Kind: "machine", Need: 3, Components: machine(Linux, 1)}
	if !b.Matches(machine(Linux, 1)) || b.Matches(machine(Linux, 2)) || b.Matches(nil) {
		t.Error("a binding matches another machine than its own")
	}
	var none *Binding
	if !none.Matches(nil) {
		t.Error("no binding refuses a machine")
	}
}
