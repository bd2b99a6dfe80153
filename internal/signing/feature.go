package signing

import (
	"bytes"
	"crypto/ecdh"
	"fmt"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// NewFeatureKey makes the key pair of a feature and seals its private part.
func NewFeatureKey(env licensing.Env, product licensing.ProductName, feature string, sealing *SealingKey) (licensing.FeatureKey, error) {
	public, private, err := license.GenerateX25519()
	if err != nil {
		return licensing.FeatureKey{}, fmt.Errorf("making the key of feature %s: %w", feature, err)
	}
	sealed, err := sealing.Seal(private)
	return licensing.FeatureKey{Env: env, Product: product, Feature: feature, Public: public, Sealed: sealed}, err
}

// WrapFeatureKey returns a feature's private key wrapped for a device, an X25519
// public key, in the form that a license with that id contains. It fails with Invalid if
// the device's key is not an X25519 key.
func (r *Ring) WrapFeatureKey(k licensing.FeatureKey, id string, device []byte) (string, error) {
	private, err := r.featureKey(k)
	if err != nil {
		return "", err
	}
	if _, err := ecdh.X25519().NewPublicKey(device); err != nil {
		return "", licensing.Errorf(licensing.Invalid, "the device key is not an X25519 public key").At("device_key")
	}
	wrapped, err := license.WrapFeatureKey(private, device, r.Issuer(k.Env), id, k.Feature)
	if err != nil {
		return "", licensing.Errorf(licensing.Invalid, "the device key is not usable").At("device_key")
	}
	return wrapped, nil
}

// featureKey opens a feature's private key and caches it.
func (r *Ring) featureKey(k licensing.FeatureKey) ([]byte, error) {
	if private, ok := r.features.Load(string(k.Public)); ok {
		return private.([]byte), nil
	}
	private, err := r.sealing.Open(k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the key of feature %s: %w", k.Feature, err)
	}
	scalar, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil || !bytes.Equal(scalar.PublicKey().Bytes(), k.Public) {
		return nil, fmt.Errorf("opening the key of feature %s: the private part belongs to another key", k.Feature)
	}
	r.features.Store(string(k.Public), private)
	return private, nil
}
