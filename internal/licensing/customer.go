package licensing

import (
	"strings"
	"time"
)

// A Customer is a buyer. Reference is the vendor's own number, for example from a
// billing system. It is unique if it is not empty.
type Customer struct {
	Env       Env               `json:"environment"`
	ID        CustomerID        `json:"id"`
	Name      string            `json:"name"`
	Email     string            `json:"email,omitempty"`
	Reference string            `json:"reference,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Created   time.Time         `json:"created"`
}

// Check refuses a customer without a name or with an impossible e-mail address.
func (c Customer) Check() error {
	if strings.TrimSpace(c.Name) == "" {
		return Errorf(Invalid, "a customer needs a name").At("name")
	}
	if at := strings.LastIndexByte(c.Email, '@'); c.Email != "" && (at < 1 || at == len(c.Email)-1) {
		return Errorf(Invalid, "%q is not an e-mail address", c.Email).At("email")
	}
	return CheckMetadata(c.Metadata)
}

// CheckMetadata refuses more than 64 entries, names over 64 bytes and values over
// 1024 bytes.
func CheckMetadata(m map[string]string) error {
	if len(m) > 64 {
		return Errorf(Invalid, "metadata has %d entries; the maximum is 64", len(m)).At("metadata")
	}
	for k, v := range m {
		if k == "" || len(k) > 64 || len(v) > 1024 {
			return Errorf(Invalid, "metadata %q: a name must have 1 to 64 bytes and a value at most 1024", k).At("metadata")
		}
	}
	return nil
}
