//go:build go1.25

package copyhold

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

func TestSealedDataOpensWithItsFeatureOnThisDeviceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pub, priv, err := license.GenerateX25519()
		if err != nil {
			t.Fatal(err)
		}
		model := []byte("the model's weights")
		sealed, err := Seal(pub, "lathe", "export", model)
		if err != nil {
			t.Fatal(err)
		}
		o := w.options()
		o.Sealed = true
		c := w.start1(t, o)
		if _, err := c.Unseal("export", sealed); err == nil {
			t.Error("opened without a key")
		}
		device, _ := base64.RawURLEncoding.DecodeString(c.devicePublic())
		wrapped, err := license.WrapFeatureKey(priv, device, w.issuer, "lic_1", "export")
		if err != nil {
			t.Fatal(err)
		}
		w.set(func() {
			w.doc.Keys = map[string]string{"export": wrapped}
			w.doc.Binding = &license.Binding{Kind: KindMachine, Holder: "us", Device: c.deviceName()}
		})
		pass(2 * time.Second)
		w.announce("license")
		pass(10 * time.Second)
		if got, err := c.Unseal("export", sealed); err != nil || !bytes.Equal(got, model) {
			t.Fatalf("%q, %v\n%s", got, err, c.Why())
		}
		if _, err := c.Unseal("off", sealed); !errors.Is(err, ErrDenied) {
			t.Errorf("a feature that is off: %v", err)
		}
		_ = c.Close()
		w.net.cut("one.test", true)
		c = w.open(t, o)
		if got, err := c.Unseal("export", sealed); err != nil || !bytes.Equal(got, model) {
			t.Errorf("offline: %q, %v", got, err)
		}
		thief := w.options()
		thief.LicenseFile, thief.Endpoints = writeFile(t, w.bundle()), nil
		if _, err := w.open(t, thief).Unseal("export", sealed); err == nil {
			t.Error("another device opened the data")
		}
	})
}
