package copyhold

import (
	"fmt"

	"copyhold.dev/sdk/license"
)

// Seal encrypts data, such as a model or a template, so that only a program whose license grants
// the feature can open it. The vendor calls it at build time. The public key belongs to the
// feature; `copyhold product` shows it. Patching out a check does not open sealed data.
func Seal(featureKey []byte, product, feature string, data []byte) ([]byte, error) {
	return license.SealFeature(featureKey, product, feature, data)
}

// Unseal decrypts the result of Seal. The license contains the feature's key, wrapped for this
// device. Unseal therefore works offline for as long as the license grants the feature.
func (c *Client) Unseal(feature string, sealed []byte) ([]byte, error) {
	d := c.Check(feature)
	if d.Outcome != license.Allowed {
		return nil, &DecisionError{Decision: d}
	}
	key, err := c.License().FeatureKey(feature, c.device)
	if err != nil {
		return nil, fmt.Errorf("opening sealed data of the feature %s: %w", feature, err)
	}
	return license.OpenFeature(key, c.options.Product, feature, sealed)
}
