package license

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// SealTo encrypts data for an X25519 public key with HPKE (RFC 9180, base mode: DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256, AES-256-GCM). Info identifies the purpose; OpenWith needs the same
// info.
func SealTo(pub []byte, info string, plaintext []byte) ([]byte, error) {
	point, err := ecdh.X25519().NewPublicKey(pub)
	if err != nil {
		return nil, fault(ErrKey, "%v", err)
	}
	sealed, err := hpkeSeal(point, info, plaintext)
	if err != nil {
		return nil, fault(ErrKey, "%v", err) // a point of low order
	}
	return sealed, nil
}

// OpenWith decrypts the result of SealTo. The error is ErrSeal.
func OpenWith(priv []byte, info string, sealed []byte) ([]byte, error) {
	scalar, err := ecdh.X25519().NewPrivateKey(priv)
	if err != nil {
		return nil, fault(ErrKey, "%v", err)
	}
	plain, err := hpkeOpen(scalar, info, sealed)
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

// GenerateX25519 returns a new key pair for a feature or a device.
func GenerateX25519() (pub, priv []byte, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), key.Bytes(), nil
}

// DeviceThumbprint returns the name of a device's X25519 public key, as used in Binding.Device:
// SHA-256 per RFC 7638, base64url.
func DeviceThumbprint(pub []byte) string { return thumbprint("X25519", pub) }

// SealFeature encrypts data that only a license with this feature can open. The public key is the
// feature's.
func SealFeature(featurePub []byte, product, feature string, data []byte) ([]byte, error) {
	info, err := purpose(featureData, product, feature)
	if err != nil {
		return nil, err
	}
	return SealTo(featurePub, info, data)
}

// OpenFeature decrypts the result of SealFeature with the feature's private key.
func OpenFeature(featurePriv []byte, product, feature string, sealed []byte) ([]byte, error) {
	info, err := purpose(featureData, product, feature)
	if err != nil {
		return nil, err
	}
	return OpenWith(featurePriv, info, sealed)
}

// WrapFeatureKey encrypts a feature's private key for one device, in the form used in License.Keys.
func WrapFeatureKey(featurePriv, devicePub []byte, issuer, license, feature string) (string, error) {
	info, err := purpose(featureKey, issuer, license, feature, DeviceThumbprint(devicePub))
	if err != nil {
		return "", err
	}
	sealed, err := SealTo(devicePub, info, featurePriv)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// FeatureKey returns the private key of a feature that the license contains for this device. If the
// license does not contain it or is bound to another device, the error is ErrBinding.
func (l *License) FeatureKey(feature string, devicePriv []byte) ([]byte, error) {
	wrapped, ok := l.Keys[feature]
	if !ok {
		return nil, fault(ErrBinding, "no key for the feature %s", feature)
	}
	scalar, err := ecdh.X25519().NewPrivateKey(devicePriv)
	if err != nil {
		return nil, fault(ErrKey, "%v", err)
	}
	device := DeviceThumbprint(scalar.PublicKey().Bytes())
	if l.Binding == nil || l.Binding.Device != device {
		return nil, ErrBinding
	}
	sealed, err := decode64(wrapped)
	if err != nil {
		return nil, err
	}
	info, err := purpose(featureKey, l.Issuer, l.Subject, feature, device)
	if err != nil {
		return nil, err
	}
	return OpenWith(devicePriv, info, sealed)
}

// Data that is sealed for one purpose cannot be opened for another: the info of RFC 9180 is one of
// these names followed by its parts, with a NUL before each part.
const (
	featureData = "copyhold/v1/feature-data" // product, feature
	featureKey  = "copyhold/v1/feature-key"  // issuer, license, feature, device thumbprint
)

func purpose(name string, parts ...string) (string, error) {
	for _, part := range parts {
		if strings.Contains(part, "\x00") {
			return "", fault(ErrFormat, "%q contains a NUL", part)
		}
		name += "\x00" + part
	}
	return name, nil
}
