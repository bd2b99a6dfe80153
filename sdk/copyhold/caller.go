package copyhold

import "net/url"

// A caller describes the program in every request.
type caller struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Instance string `json:"instance,omitempty"`
	Region   string `json:"region,omitempty"`
}

// caller describes this program. The instance is a lease's own or the client's.
func (c *Client) caller(instance string) caller {
	return caller{Service: c.options.Service, Version: c.options.Version, Instance: instance, Region: c.options.Region}
}

// query returns c as query parameters, for a request without a body.
func (c caller) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"service": c.Service, "version": c.Version, "instance": c.Instance, "region": c.Region} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}
