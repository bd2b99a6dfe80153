package license

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// SealTo encrypts for an X25519 public key with HPKE (RFC 9180, base mode:
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM). Info names the purpose;
// OpenWith needs the same.
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

// OpenWith decrypts what SealTo made, or returns ErrSeal.
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

// GenerateX25519 returns a new key pair, of a feature or a device.
func GenerateX25519() (pub, priv []byte, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), key.Bytes(), nil
}

// DeviceThumbprint names a device's X25519 public key, as Binding.Device: SHA-256
// per RFC 7638, base64url.
func DeviceThumbprint(pub []byte) string { return thumbprint("X25519", pub) }

// SealFeature encrypts data that only a license with this feature opens. The
// public key is the feature's.
func SealFeature(featurePub []byte, product, feature string, data []byte) ([]byte, error) {
	info, err := purpose(featureData, product, feature)
	if err != nil {
		return nil, err
	}
	return SealTo(featurePub, info, data)
}

// OpenFeature decrypts what SealFeature made, with the feature's private key.
func OpenFeature(featurePriv []byte, product, feature string, sealed []byte) ([]byte, error) {
	info, err := purpose(featureData, product, feature)
	if err != nil {
		return nil, err
	}
	return OpenWith(featurePriv, info, sealed)
}

// WrapFeatureKey encrypts a feature's private key for one device, as License.Keys
// carries it.
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

// FeatureKey returns the private key of a feature that the license carries for
// this device. A license without it, or bound to another device, is ErrBinding.
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

// What is sealed for one purpose does not open for another: the info of RFC 9180
// is one of these and its parts, each after a NUL.
const (
	featureData = "copyhold/v1/feature-data" // product, feature
	featureKey  = "copyhold/v1/feature-key"  // issuer, license, feature, device thumbprint
)

func purpose(name string, parts ...string) (string, error) {
	for _, part := range parts {
		if strings.Contains(part, "\x00") {
			return "", fault(ErrFormat, "NUL in %q", part)
		}
		name += "\x00" + part
	}
	return name, nil
}
