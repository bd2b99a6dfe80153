//go:build go1.26

package license

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"testing"
)

// TestSealedDataIsTheStandardLibrarysHPKE uses crypto/hpke to open the result of SealTo, and the
// reverse.
func TestSealedDataIsTheStandardLibrarysHPKE(t *testing.T) {
	for _, size := range []int{0, 1, 31, 32, 1000} {
		plain := make([]byte, size)
		rand.Read(plain)
		pub, priv := x25519(t)
		scalar, err := ecdh.X25519().NewPrivateKey(priv)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := hpke.NewDHKEMPrivateKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := SealTo(pub, "purpose", plain)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := hpke.Open(theirs, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("purpose"), sealed)
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%d bytes: the standard library opens %x, %v", size, opened, err)
		}
		sealed, err = hpke.Seal(theirs.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("purpose"), plain)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err = OpenWith(priv, "purpose", sealed); err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%d bytes of the standard library open as %x, %v", size, opened, err)
		}
	}
}
