package licensing

import "cmp"

// A Caller is what a program says of itself with each request, so that it is
// known what depends on what. It decides nothing. What was not said is empty.
type Caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"` // which running copy
	Region   string `json:"region,omitempty"`
}

// After returns what is known once c was said: what it left out is as before.
func (c Caller) After(before Caller) Caller {
	return Caller{
		Service:  cmp.Or(c.Service, before.Service),
		Version:  cmp.Or(c.Version, before.Version),
		Instance: cmp.Or(c.Instance, before.Instance),
		Region:   cmp.Or(c.Region, before.Region),
	}
}

// Of returns c beside something whose own instance is known: what is the same
// is not said twice.
func (c Caller) Of(instance string) Caller {
	if c.Instance == instance {
		c.Instance = ""
	}
	return c
}
