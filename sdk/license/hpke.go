package license

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// HPKE (RFC 9180) in base mode, with the one suite that sealed data uses. The standard library has
// had it since Go 1.26, but this module still builds with Go 1.24.
const (
	kemSuite  = "KEM\x00\x20"                  // DHKEM(X25519, HKDF-SHA256)
	hpkeSuite = "HPKE\x00\x20\x00\x01\x00\x02" // with HKDF-SHA256 and AES-256-GCM

	encapsulated = 32 // bytes of the ephemeral public key, with which the ciphertext begins
)

// hpkeSeal encrypts one message for pub. It fails for a point of low order.
func hpkeSeal(pub *ecdh.PublicKey, info string, plaintext []byte) ([]byte, error) {
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := ephemeral.ECDH(pub)
	if err != nil {
		return nil, err
	}
	enc := ephemeral.PublicKey().Bytes()
	aead, nonce, err := hpkeSchedule(point, enc, pub.Bytes(), info)
	if err != nil {
		return nil, err
	}
	return aead.Seal(enc, nonce, plaintext, nil), nil
}

// hpkeOpen decrypts the result of hpkeSeal.
func hpkeOpen(priv *ecdh.PrivateKey, info string, sealed []byte) ([]byte, error) {
	if len(sealed) < encapsulated {
		return nil, ErrSeal
	}
	enc, ciphertext := sealed[:encapsulated], sealed[encapsulated:]
	ephemeral, err := ecdh.X25519().NewPublicKey(enc)
	if err != nil {
		return nil, err
	}
	point, err := priv.ECDH(ephemeral)
	if err != nil {
		return nil, err
	}
	aead, nonce, err := hpkeSchedule(point, enc, priv.PublicKey().Bytes(), info)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nonce, ciphertext, nil)
}

// hpkeSchedule derives the key and nonce of the first message (RFC 9180, sections 4.1 and 5.1).
func hpkeSchedule(point, enc, recipient []byte, info string) (cipher.AEAD, []byte, error) {
	var d derivation
	kem := append(append([]byte{}, enc...), recipient...)
	shared := d.expand(kemSuite, d.extract(kemSuite, nil, "eae_prk", point), "shared_secret", kem, sha256.Size)
	schedule := append([]byte{0}, d.extract(hpkeSuite, nil, "psk_id_hash", nil)...) // 0 is base mode
	schedule = append(schedule, d.extract(hpkeSuite, nil, "info_hash", []byte(info))...)
	secret := d.extract(hpkeSuite, shared, "secret", nil)
	key := d.expand(hpkeSuite, secret, "key", schedule, 32)
	nonce := d.expand(hpkeSuite, secret, "base_nonce", schedule, 12)
	if d.err != nil {
		return nil, nil, d.err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, nonce, err
}

// A derivation keeps the first error of its steps.
type derivation struct{ err error }

func (d *derivation) extract(suite string, salt []byte, label string, secret []byte) []byte {
	labeled := append([]byte("HPKE-v1"+suite+label), secret...)
	key, err := hkdf.Extract(sha256.New, labeled, salt)
	if err != nil && d.err == nil {
		d.err = err
	}
	return key
}

func (d *derivation) expand(suite string, key []byte, label string, info []byte, length uint16) []byte {
	labeled := binary.BigEndian.AppendUint16(nil, length)
	labeled = append(append(labeled, "HPKE-v1"+suite+label...), info...)
	out, err := hkdf.Expand(sha256.New, key, string(labeled), int(length))
	if err != nil && d.err == nil {
		d.err = err
	}
	return out
}
