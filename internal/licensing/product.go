package licensing

import (
	"net/url"
	"strings"
	"time"
)

// An Owner is the contact for a product when something fails at night.
type Owner struct {
	Team    string `json:"team"`
	Pager   string `json:"pager"`
	Runbook string `json:"runbook"` // a URL
}

// A Product is what is licensed.
type Product struct {
	Env     Env         `json:"environment"`
	Name    ProductName `json:"name"`
	Title   string      `json:"title"`
	Owner   Owner       `json:"owner"`
	Salt    []byte      `json:"salt"` // of fingerprints; public, never changed
	Created time.Time   `json:"created"`
}

// Check refuses a product without a name, or without an owner who can be reached
// and who has a runbook.
func (p Product) Check() error {
	if err := CheckName("product", string(p.Name)); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(p.Owner.Team) == "":
		return Errorf(Invalid, "product %s needs an owner: name the team", p.Name).At("owner.team")
	case strings.TrimSpace(p.Owner.Pager) == "":
		return Errorf(Invalid, "product %s needs a pager: the contact to call when licensing denies", p.Name).At("owner.pager")
	case len(p.Salt) < 16:
		return Errorf(Invalid, "product %s needs a salt of at least 16 bytes", p.Name).At("salt")
	}
	u, err := url.Parse(p.Owner.Runbook)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" {
		return Errorf(Invalid, "product %s needs a runbook: a URL, not %q", p.Name, p.Owner.Runbook).At("owner.runbook")
	}
	return nil
}
