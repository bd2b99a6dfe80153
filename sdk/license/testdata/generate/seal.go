package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"copyhold.dev/sdk/license"
)

// A Seal is sealed data, a license with the feature's key, and a device that may or may not open
// both.
type Seal struct {
	Name       string           `json:"name"`
	Why        string           `json:"why"`
	Error      string           `json:"error,omitempty"` // "" if it opens
	License    *license.License `json:"license"`
	Device     []byte           `json:"device"`     // the device's private key
	Thumbprint string           `json:"thumbprint"` // thumbprint of its public key
	Product    string           `json:"product"`
	Feature    string           `json:"feature"`
	Sealed     []byte           `json:"sealed"`
	FeatureKey []byte           `json:"feature_key,omitempty"` // the feature's private key, which the license contains
	Opened     []byte           `json:"opened,omitempty"`
}

// seals returns the vectors of sealed features.
func seals() []Seal {
	feature, device, thief := newScalar("feature"), newScalar("device"), newScalar("another device")
	sealed := seal(newScalar("ephemeral 1"), feature.PublicKey(), "copyhold/v1/feature-data\x00lathe\x00export", []byte("the table of threads"))
	good := func(edits ...func(*license.License)) *license.License {
		l := climber(func(l *license.License) {
			l.Features = map[string]license.Feature{"export": {Value: license.BoolValue(true)}}
			l.Binding = &license.Binding{Kind: "machine", Holder: "m_1", Device: thumbprint(device)}
			l.Keys = map[string]string{"export": wrap(newScalar("ephemeral 2"), feature, device, l.Issuer, l.Subject, "export")}
		})
		for _, edit := range edits {
			edit(l)
		}
		return l
	}
	of := func(name, why, wrong string, edit func(*Seal)) Seal {
		s := Seal{Name: name, Why: why, Error: wrong, License: good(), Device: device.Bytes(), Thumbprint: thumbprint(device), Product: "lathe", Feature: "export", Sealed: sealed}
		if wrong == "" {
			s.FeatureKey, s.Opened = feature.Bytes(), []byte("the table of threads")
		}
		edit(&s)
		return s
	}
	flip := append([]byte{}, sealed...)
	flip[len(flip)-1] ^= 1
	return []Seal{
		of("sealed data", "the license carries the feature's key for this device", "", func(*Seal) {}),
		of("no data", "sealing nothing is sealing, too", "", func(s *Seal) {
			s.Sealed = seal(newScalar("ephemeral 3"), feature.PublicKey(), "copyhold/v1/feature-data\x00lathe\x00export", nil)
			s.Opened = nil
		}),
		of("another device", "the license is bound to the key of another", "Binding", func(s *Seal) { s.Device, s.Thumbprint = thief.Bytes(), thumbprint(thief) }),
		of("bound anew by hand", "the wrapped key is for the device it names, whatever the binding says", "Seal", func(s *Seal) {
			s.Device, s.Thumbprint = thief.Bytes(), thumbprint(thief)
			s.License.Binding.Device = thumbprint(thief)
		}),
		of("not bound", "a license for no device carries no keys that count", "Binding", func(s *Seal) { s.License.Binding = nil }),
		of("without the feature's key", "the license does not grant the feature", "Binding", func(s *Seal) { s.License.Keys = nil }),
		of("the key of another license", "moved from lic_1 to lic_2", "Seal", func(s *Seal) { s.License.Subject = "lic_2" }),
		of("the key of another issuer", "moved to another environment", "Seal", func(s *Seal) { s.License.Issuer = "urn:copyhold:other:production" }),
		of("the key of another feature", "moved from export to print", "Seal", func(s *Seal) {
			s.License.Keys["print"], s.Feature = s.License.Keys["export"], "print"
		}),
		of("data of another product", "sealed for lathe, opened for mill", "Seal", func(s *Seal) { s.Product = "mill" }),
		of("edited data", "the last bit is flipped", "Seal", func(s *Seal) { s.Sealed = flip }),
		of("cut data", "shorter than a key and a tag", "Seal", func(s *Seal) { s.Sealed = sealed[:40] }),
		of("a key that is not base64url", "padding is none", "Encoding", func(s *Seal) { s.License.Keys["export"] += "==" }),
	}
}

func newScalar(name string) *ecdh.PrivateKey {
	seed := sha256.Sum256([]byte("copyhold vectors: " + name))
	key, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		panic(err)
	}
	return key
}

func thumbprint(key *ecdh.PrivateKey) string {
	return license.DeviceThumbprint(key.PublicKey().Bytes())
}

// wrap encrypts a feature's private key for a device.
func wrap(ephemeral, feature, device *ecdh.PrivateKey, issuer, subject, name string) string {
	info := "copyhold/v1/feature-key\x00" + issuer + "\x00" + subject + "\x00" + name + "\x00" + thumbprint(device)
	return base64.RawURLEncoding.EncodeToString(seal(ephemeral, device.PublicKey(), info, feature.Bytes()))
}

// seal is the single-shot base mode of HPKE (RFC 9180, sections 4.1, 5.1, and 5.2) with a given
// ephemeral key: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. It is a separate
// implementation, so that the vectors are the same bytes each time and do not come from the code
// under test.
func seal(ephemeral *ecdh.PrivateKey, to *ecdh.PublicKey, info string, plaintext []byte) []byte {
	enc := ephemeral.PublicKey().Bytes()
	dh, err := ephemeral.ECDH(to)
	if err != nil {
		panic(err)
	}
	kem := "KEM\x00\x20"
	secret := extract(kem, nil, "eae_prk", dh)
	shared := expand(kem, secret, "shared_secret", append(append([]byte{}, enc...), to.Bytes()...), 32)

	suite := "HPKE\x00\x20\x00\x01\x00\x02"
	context := append([]byte{0}, extract(suite, nil, "psk_id_hash", nil)...)
	context = append(context, extract(suite, nil, "info_hash", []byte(info))...)
	secret = extract(suite, shared, "secret", nil)
	key, nonce := expand(suite, secret, "key", context, 32), expand(suite, secret, "base_nonce", context, 12)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead.Seal(enc, nonce, plaintext, nil)
}

// extract and expand are LabeledExtract and LabeledExpand.
func extract(suite string, salt []byte, label string, ikm []byte) []byte {
	out, err := hkdf.Extract(sha256.New, append([]byte("HPKE-v1"+suite+label), ikm...), salt)
	if err != nil {
		panic(err)
	}
	return out
}

func expand(suite string, prk []byte, label string, info []byte, length int) []byte {
	labeled := binary.BigEndian.AppendUint16(nil, uint16(length))
	labeled = append(append(labeled, "HPKE-v1"+suite+label...), info...)
	out, err := hkdf.Expand(sha256.New, prk, string(labeled), length)
	if err != nil {
		panic(err)
	}
	return out
}
