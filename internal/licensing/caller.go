package licensing

import "cmp"

// A Caller is what a program reports about itself with each request, to show what
// depends on what. It decides nothing. A field that was not reported is empty.
type Caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"` // which running copy
	Region   string `json:"region,omitempty"`
}

// After returns c with the fields of before that c leaves empty.
func (c Caller) After(before Caller) Caller {
	return Caller{
		Service:  cmp.Or(c.Service, before.Service),
		Version:  cmp.Or(c.Version, before.Version),
		Instance: cmp.Or(c.Instance, before.Instance),
		Region:   cmp.Or(c.Region, before.Region),
	}
}

// Of returns c without its instance if that is instance, so that it is not
// reported twice.
func (c Caller) Of(instance string) Caller {
	if c.Instance == instance {
		c.Instance = ""
	}
	return c
}
