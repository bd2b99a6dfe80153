package license

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"testing"
)

// TestSealedDataNeedsTheFeature seals data for a feature and opens it with the key that the license
// contains for this device. Nothing else opens it.
func TestSealedDataNeedsTheFeature(t *testing.T) {
	featurePub, featurePriv := x25519(t)
	devicePub, devicePriv := x25519(t)
	_, otherPriv := x25519(t)
	sealed, err := SealFeature(featurePub, "lathe", "export", []byte("the table"))
	if err != nil {
		t.Fatal(err)
	}
	l := ladderLicense(nil)
	wrapped, err := WrapFeatureKey(featurePriv, devicePub, l.Issuer, l.Subject, "export")
	if err != nil {
		t.Fatal(err)
	}
	l.Binding = &Binding{Kind: "machine", Holder: "m", Device: DeviceThumbprint(devicePub)}
	l.Keys = map[string]string{"export": wrapped, "print": wrapped, "torn": wrapped[:len(wrapped)-2] + "!!"}
	key, err := l.FeatureKey("export", devicePriv)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := OpenFeature(key, "lathe", "export", sealed)
	if err != nil || string(plain) != "the table" {
		t.Fatalf("%q, %v", plain, err)
	}
	refuse := func(what string, want, got error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	_, err = OpenFeature(key, "lathe", "print", sealed)
	refuse("another feature", ErrSeal, err)
	_, err = OpenFeature(key, "mill", "export", sealed)
	refuse("another product", ErrSeal, err)
	_, err = OpenFeature(devicePriv, "lathe", "export", sealed)
	refuse("another key", ErrSeal, err)
	_, err = OpenFeature(key, "lathe", "export", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1))
	refuse("an edited seal", ErrSeal, err)
	_, err = OpenFeature(key, "lathe", "export", sealed[:10])
	refuse("a short seal", ErrSeal, err)
	_, err = OpenFeature(key[:5], "lathe", "export", sealed)
	refuse("a short key", ErrKey, err)
	_, err = l.FeatureKey("export", otherPriv)
	refuse("another device", ErrBinding, err)
	_, err = l.FeatureKey("missing", devicePriv)
	refuse("no such feature", ErrBinding, err)
	_, err = l.FeatureKey("print", devicePriv)
	refuse("a key moved to another feature", ErrSeal, err)
	_, err = l.FeatureKey("torn", devicePriv)
	refuse("a key that is not base64url", ErrEncoding, err)
	_, err = l.FeatureKey("export", devicePriv[:3])
	refuse("a short device key", ErrKey, err)
	l.Subject = "lic_2"
	_, err = l.FeatureKey("export", devicePriv)
	refuse("a key moved to another license", ErrSeal, err)
	l.Binding = nil
	_, err = l.FeatureKey("export", devicePriv)
	refuse("no binding", ErrBinding, err)
	_, err = SealFeature(make([]byte, 32), "lathe", "export", nil)
	refuse("a feature key of low order", ErrKey, err)
	_, err = SealFeature(featurePub[:31], "lathe", "export", nil)
	refuse("a short feature key", ErrKey, err)
	_, err = SealFeature(featurePub, "lathe\x00export", "x", nil)
	refuse("a NUL that would move the border", ErrFormat, err)
}

func x25519(t *testing.T) (pub, priv []byte) {
	t.Helper()
	pub, priv, err := GenerateX25519()
	if err != nil {
		t.Fatal(err)
	}
	return pub, priv
}

// A sealVector is sealed data with a license and a device; testdata/vectors/README.md describes it.
type sealVector struct {
	Name, Error, Thumbprint, Product, Feature string
	License                                   *License
	Device, Sealed, Opened                    []byte
	FeatureKey                                []byte `json:"feature_key"`
}

func TestSealVectorsHold(t *testing.T) {
	var all []sealVector
	readJSON(t, "seal", &all)
	if len(all) < 10 {
		t.Errorf("only %d vectors", len(all))
	}
	for _, v := range all {
		opened, key, err := v.open()
		want := sentinels[v.Error]
		if !errors.Is(err, want) || want == nil && v.Error != "" {
			t.Errorf("%s: %v, want %q", v.Name, err, v.Error)
		}
		if err == nil && (!bytes.Equal(opened, v.Opened) || !bytes.Equal(key, v.FeatureKey)) {
			t.Errorf("%s: opened %q with %x", v.Name, opened, key)
		}
		device, err := ecdh.X25519().NewPrivateKey(v.Device)
		if err != nil || DeviceThumbprint(device.PublicKey().Bytes()) != v.Thumbprint {
			t.Errorf("%s: the device is not %s: %v", v.Name, v.Thumbprint, err)
		}
	}
}

func (v sealVector) open() (opened, key []byte, err error) {
	if key, err = v.License.FeatureKey(v.Feature, v.Device); err != nil {
		return nil, nil, err
	}
	opened, err = OpenFeature(key, v.Product, v.Feature, v.Sealed)
	return opened, key, err
}
