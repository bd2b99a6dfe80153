package licensing

import "reflect"

// Size estimates the bytes that t costs in memory, without the strings and zones that it shares
// with its revision. A cache that is bounded by bytes needs it.
func (t Terms) Size() int {
	return int(reflect.TypeFor[Terms]().Size()) + len(t.License) + len(t.Env) + len(t.Product) + len(t.Customer) + len(t.Plan) + len(t.Revision) +
		24*len(t.Renewed) + mapSize(t.Features) + mapSize(t.Fallback) + mapSize(t.Pools) + mapSize(t.Meters) +
		mapSize(t.Excepted.Features) + mapSize(t.Excepted.Pools) + mapSize(t.Excepted.Meters)
}

// mapSize estimates the bytes of a map with its entries. Go allocates slots in powers of two, eight
// at least, fills seven of eight before it doubles them, and keeps values over 128 bytes beside
// their slots.
func mapSize[V any](m map[string]V) int {
	const header, key, largest = 48, 16, 128
	if len(m) == 0 {
		return header
	}
	slots := 8
	for slots < len(m) || slots > 8 && slots*7/8 < len(m) {
		slots *= 2
	}
	value := int(reflect.TypeFor[V]().Size())
	if value > largest {
		return header + slots*(key+9) + len(m)*value
	}
	return header + slots*(key+1+value)
}
