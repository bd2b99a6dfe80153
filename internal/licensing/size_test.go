package licensing

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// The estimate is close to what terms take on the heap, for plans of several sizes, and licenses
// share the zones of their revision.
func TestSizeOfTermsIsCloseToTheHeap(t *testing.T) {
	for _, n := range []int{0, 1, 8, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := Plan{Product: "cad", Name: "team", Pools: map[string]Pool{}, Meters: map[string]Meter{}, Features: map[string]FeatureRule{}}
			for i := range n {
				name := fmt.Sprint("name-", i)
				p.Features[name] = FeatureRule{Value: license.BoolValue(true)}
				p.Pools[name] = Pool{Holder: "machine", Capacity: 1}
				p.Meters[name] = Meter{Quota: 1, Per: PerMonth, Zone: "Europe/Berlin"}
			}
			rev, err := Revision{ID: "r", Plan: p}.Prepared()
			if err != nil {
				t.Fatal(err)
			}
			const licenses = 500
			all := make([]Terms, licenses)
			before := heap()
			for i := range all {
				if all[i], err = Compile(rev, License{ID: "lic_1", Product: "cad", Plan: "team", Status: Active}, time.Unix(1_800_000_000, 0)); err != nil {
					t.Fatal(err)
				}
			}
			// The terms themselves are in all, which was allocated before.
			measured := int(heap()-before)/licenses + int(reflect.TypeFor[Terms]().Size())
			runtime.KeepAlive(all)
			if estimate := all[0].Size(); estimate < measured*2/3 || estimate > measured*3/2+200 {
				t.Errorf("terms with %d names: estimated %d bytes, measured %d", n, estimate, measured)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
