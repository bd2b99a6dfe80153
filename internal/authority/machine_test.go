package authority

import (
	"testing"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/sdk/license"
)

// wearing returns machine n with some components of another machine.
func wearing(n, other int, components ...string) granting.AcquireRequest {
	q := machine(n)
	q.Holder.Components = map[string]string{}
	for _, c := range license.Components(license.Linux) {
		from := n
		for _, name := range components {
			if name == c.Name {
				from = other
			}
		}
		q.Holder.Components[c.Name] = license.HashComponent([]byte("salt"), c.Name, c.Name+string(rune('a'+from)))
	}
	return q
}

func TestAMachineKeepsItsLeaseUnderAnotherNameAndACopiedDiskTakesItsOwn(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		first := d.acquire(t, wearing(1, 1))
		renamed := d.acquire(t, wearing(2, 1, license.ComponentBoard, license.ComponentDrive, license.ComponentNetwork, license.ComponentProcessor))
		if renamed.Lease.ID != first.Lease.ID {
			t.Errorf("four of six components agree, but the machine got %s beside %s", renamed.Lease.ID, first.Lease.ID)
		}
		copied := d.acquire(t, wearing(3, 1, license.ComponentSystem, license.ComponentFilesystem, license.ComponentProcessor))
		if copied.Lease.ID == first.Lease.ID || copied.Decision.Outcome != license.Allowed {
			t.Errorf("a copied disk shares lease %s: %+v", first.Lease.ID, copied.Decision)
		}
	})
}
