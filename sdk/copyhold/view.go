package copyhold

import (
	"strings"

	"copyhold.dev/sdk/license"
)

// A view is what checks see: a document and where it stands. It is replaced, never changed.
type view struct {
	license  *license.License  // nil without one
	standing license.Standing  // of the license
	refusal  *license.Decision // the server's signed no, when there is no license
	fallback bool              // a full pool leaves only the fallback set
	cause    string            // why there is no license; "" with one
}

// feature returns what is granted under a name, and why.
func (v *view) feature(name string, now int64) (license.Feature, license.Decision) {
	if v == nil || v.license == nil {
		return license.Feature{}, v.decision()
	}
	s := v.standing
	if v.fallback && s.State.Full() {
		s.State, s.Code = license.StateDegraded, license.CodeFallback
		f, d := v.license.Feature(name, s, now)
		d.State, d.Rule = v.standing.State, "pool.full"
		if d.Outcome == license.Denied {
			d.Reason = "a pool is full, and the fallback does not grant the feature " + name
		} else {
			d.Reason = "a pool is full; the fallback applies"
		}
		return f, d
	}
	return v.license.Feature(name, s, now)
}

// decision tells where the license stands.
func (v *view) decision() license.Decision {
	if v == nil || v.license == nil {
		if v != nil && v.refusal != nil {
			return *v.refusal
		}
		return license.Decision{
			Outcome: license.Unavailable, Code: license.CodeNoLicense, State: license.StateNone,
			Reason: v.why(), Rule: "license.state",
		}
	}
	s := v.standing
	d := license.Decision{
		Outcome: license.Allowed, Code: s.Code, Reason: license.Reason(s.Code), Rule: "license.state",
		State: s.State, Next: string(s.Next), NextAt: s.At,
	}
	if !s.State.Full() && s.State != license.StateDegraded {
		d.Outcome = license.Denied
	}
	return d
}

// why tells why there is no license.
func (v *view) why() string {
	if v == nil || v.cause == "" {
		return noLicense + ", and no server has given one yet"
	}
	return v.cause
}

const noLicense = "no license was found in the cache"

// cause tells why there is no license.
func (c *Client) cause() string {
	if c.document.license != nil {
		return ""
	}
	found := noLicense
	if c.strange {
		found = "the cache holds no license of this license key"
	}
	if err := c.fault(); err != nil {
		return found + ", and " + strings.ReplaceAll(err.Error(), "\n", ", and ")
	}
	if c.net == nil {
		return found
	}
	return found + ", and no server has given one yet"
}
