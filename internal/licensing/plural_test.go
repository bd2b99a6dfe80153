package licensing

import "testing"

func TestOneIsSingular(t *testing.T) {
	for want, got := range map[string]string{
		"0 units": Counted(0, "unit"), "1 unit": Counted(1, "unit"), "2 units": Counted(int64(2), "unit"),
		"2 entries": Counted(2, "entry"), "1 entry": Counted(1, "entry"), "3 days": Counted(3, "day"), "2 boxes": Counted(2, "box"),
		"1 call": measured("1", "call"), "1.5 calls": measured("1.5", "call"), "0 queries": measured("0", "query"),
		"2 core-hours": measured("2", "core-hour"), "5 GB": measured("5", "GB"), "5 min": measured("5", "min"), "5 Stück": measured("5", "Stück"),
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestPoolNameNamesOneUnit(t *testing.T) {
	for name, want := range map[string]string{
		"seats": "seat", "core-hours": "core-hour", "boxes": "box", "licenses": "license", "batteries": "battery", "branches": "branch",
		"floating": "unit", "seat": "unit", "campus": "unit", "access": "unit", "vcs": "unit", "seats_eu": "unit", "": "unit", "machines": "unit",
	} {
		if got := (Pool{name: name, Holder: "machine"}).unit(); got != want {
			t.Errorf("one unit of %q is a %q, not a %q", name, got, want)
		}
	}
}
