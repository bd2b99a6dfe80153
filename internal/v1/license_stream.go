package v1

// LicenseAnswer is the license that the caller's key belongs to.
type LicenseAnswer struct {
	License string `json:"license" doc:"The license document, compact JWS"`
}
