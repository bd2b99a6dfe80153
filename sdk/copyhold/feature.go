package copyhold

import (
	"sync/atomic"

	"copyhold.dev/sdk/license"
)

// A Feature is a named value of the license. Get it once and keep it: Enabled then takes one atomic
// load.
type Feature struct {
	client *Client
	name   string
	on     atomic.Bool
	value  atomic.Pointer[license.Value]
}

// Feature returns the handle of a feature, the same one each time. If the license does not know the
// name, the feature is off until a license grants it.
func (c *Client) Feature(name string) *Feature {
	if c == nil {
		return nil
	}
	if f := c.known(name); f != nil {
		return f
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.resolve(name)
	c.grant(f, c.view.Load())
	return f
}

func (c *Client) known(name string) *Feature { return (*c.features.Load())[name] }

// resolve adds a feature to the table. It replaces the table, so readers always see a complete one.
func (c *Client) resolve(name string) *Feature {
	if f := c.known(name); f != nil {
		return f
	}
	old := *c.features.Load()
	table := make(map[string]*Feature, len(old)+1)
	for n, f := range old {
		table[n] = f
	}
	f := &Feature{client: c, name: name}
	f.value.Store(&license.Value{})
	table[name] = f
	c.features.Store(&table)
	return f
}

// grant sets what the license says about f.
func (c *Client) grant(f *Feature, v *view) license.Decision {
	granted, d := v.feature(f.name, c.now.Load())
	f.value.Store(&granted.Value)
	f.on.Store(d.Outcome == license.Allowed)
	return d
}

// Enabled reports whether the license grants the feature now.
func (f *Feature) Enabled() bool { return f != nil && f.on.Load() }

// Int returns the feature's number, 0 if it has none or is not granted.
func (f *Feature) Int() int64 {
	if f == nil {
		return 0
	}
	n, _ := f.value.Load().Int()
	return n
}

// Text returns the feature's text, "" if it has none or is not granted.
func (f *Feature) Text() string {
	if f == nil {
		return ""
	}
	s, _ := f.value.Load().Text()
	return s
}

// Decision reports whether the feature is granted, and why.
func (f *Feature) Decision() license.Decision {
	if f == nil {
		return (*Client)(nil).Check("")
	}
	return f.client.Check(f.name)
}

// Enabled reports whether the license grants a feature now. A handle from Feature is faster.
func (c *Client) Enabled(feature string) bool {
	return c != nil && c.known(feature).Enabled()
}

// Check reports whether the license grants a feature now, by which rule, and what happens next. It
// asks no server.
func (c *Client) Check(feature string) license.Decision {
	if c == nil {
		return (*view)(nil).decision()
	}
	_, d := c.view.Load().feature(feature, c.now.Load())
	return d
}
