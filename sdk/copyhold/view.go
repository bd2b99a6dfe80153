package copyhold

import (
	"strings"

	"copyhold.dev/sdk/license"
)

// A view is what checks read: a document and its state. It is replaced, never changed.
type view struct {
	license  *license.License  // nil if there is none
	standing license.Standing  // the license's state
	refusal  *license.Decision // the server's signed denial, if there is no license
	fallback bool              // a full pool leaves only the fallback set
	cause    string            // why there is no license; "" if there is one
}

// feature returns the granted feature of a name, and the reason.
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
			d.Reason = "a pool is full, and the fallback does not include the feature " + name
		} else {
			d.Reason = "a pool is full; the fallback applies"
		}
		return f, d
	}
	return v.license.Feature(name, s, now)
}

// decision returns the decision about the license.
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

// why returns the reason why there is no license.
func (v *view) why() string {
	if v == nil || v.cause == "" {
		return noLicense + ", and no server has provided one yet"
	}
	return v.cause
}

const noLicense = "no license was found in the cache"

// cause returns the reason why there is no license, or "".
func (c *Client) cause() string {
	if c.document.license != nil {
		return ""
	}
	found := noLicense
	if c.strange {
		found = "the cache has no license of this license key"
	}
	if err := c.fault(); err != nil {
		return found + ", and " + strings.ReplaceAll(err.Error(), "\n", ", and ")
	}
	if c.net == nil {
		return found
	}
	return found + ", and no server has provided one yet"
}
