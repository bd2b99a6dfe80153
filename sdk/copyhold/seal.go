package copyhold

import (
	"fmt"

	"copyhold.dev/sdk/license"
)

// Seal encrypts data, such as a model or a template, so that only a program whose license
// grants the feature can open it. It is for the vendor's build: the public key is the
// feature's, as `copyhold product` shows it. Skipping a check does not help to open it.
func Seal(featureKey []byte, product, feature string, data []byte) ([]byte, error) {
	return license.SealFeature(featureKey, product, feature, data)
}

// Unseal decrypts what Seal made. The feature's key travels in the license, wrapped to
// this device; so it works offline, as long as the license grants the feature.
func (c *Client) Unseal(feature string, sealed []byte) ([]byte, error) {
	d := c.Check(feature)
	if d.Outcome != license.Allowed {
		return nil, &DecisionError{Decision: d}
	}
	key, err := c.License().FeatureKey(feature, c.device)
	if err != nil {
		return nil, fmt.Errorf("opening data of the feature %s: %w", feature, err)
	}
	return license.OpenFeature(key, c.options.Product, feature, sealed)
}
