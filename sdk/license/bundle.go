package license

import (
	"reflect"
	"slices"
	"strings"
)

// MaxBundle is the most bytes of a license file, in JSON or as armor.
const MaxBundle = 1 << 20

// maxBundleFile is the most bytes of a file that can hold one: UTF-16 takes two for each.
const maxBundleFile = 2*MaxBundle + 2

// A Bundle is a license file: a document with what it takes to verify it from a
// pinned root set, and nothing secret.
type Bundle struct {
	V       int        `json:"v"`               // 1
	Doc     string     `json:"doc"`             // the document, compact JWS
	Chain   []string   `json:"chain,omitempty"` // edge certificates, its signer's first
	KeySet  []string   `json:"keyset"`
	RootSet []string   `json:"rootset,omitempty"` // when newer than the pinned one
	Earlier [][]string `json:"earlier,omitempty"` // the root sets between, oldest first
}

// RootSets returns the root sets of the file, oldest first.
func (b Bundle) RootSets() [][]string {
	if len(b.RootSet) == 0 {
		return nil
	}
	return append(slices.Clone(b.Earlier), b.RootSet)
}

// EncodeBundle returns the license file as JSON.
func EncodeBundle(b Bundle) ([]byte, error) {
	b.V = Version
	if err := b.check(); err != nil {
		return nil, err
	}
	return encode(b)
}

// DecodeBundle reads a license file, JSON or armor, in any encoding that [DecodeText]
// takes, and verifies nothing. Lines that begin with # are comments, and spaces and ends of
// lines count nowhere: mail may have wrapped its documents.
func DecodeBundle(data []byte) (Bundle, error) {
	if len(data) > maxBundleFile {
		return Bundle{}, fault(ErrFormat, "longer than %d bytes", MaxBundle)
	}
	text, err := DecodeText("", data)
	if err != nil {
		return Bundle{}, fault(ErrFormat, "%v", err)
	}
	if len(text) > MaxBundle {
		return Bundle{}, fault(ErrFormat, "longer than %d bytes", MaxBundle)
	}
	plain := []byte(strings.Join(strings.Fields(uncommented(text)), ""))
	if strings.Contains(text, armorBegin) {
		if plain, err = Dearmor([]byte(text)); err != nil {
			return Bundle{}, err
		}
	}
	var b Bundle
	if err := unmarshal(plain, reflect.ValueOf(&b).Elem(), MaxBundle); err != nil {
		return Bundle{}, err
	}
	if b.V != Version {
		return Bundle{}, fault(ErrVersion, "v %d", b.V)
	}
	return b, b.check()
}

func (b Bundle) check() error {
	if b.Doc == "" {
		return fault(ErrFormat, "no document")
	}
	if len(b.Chain) > MaxChain {
		return fault(ErrChain, "%d certificates", len(b.Chain))
	}
	if len(b.KeySet) == 0 || len(b.KeySet) > maxSignatures {
		return fault(ErrFormat, "%d signatures of the key set", len(b.KeySet))
	}
	for _, list := range b.RootSets() {
		if len(list) > maxSignatures {
			return fault(ErrFormat, "%d signatures of a root set", len(list))
		}
	}
	return nil
}

// WithBundle trusts the root set and key set of a license file where they are
// newer than those in force; older ones are passed over, since a file may be old.
// Filed then verifies the document.
func (v *Verifier) WithBundle(b Bundle, now int64) (*Verifier, error) {
	w, err := v.WithRootSets(b.RootSets(), now)
	if err != nil {
		return nil, err
	}
	if w.set.Number > 0 && numberOf(b.KeySet) <= w.set.Number {
		return w, nil
	}
	return w.WithKeySet(b.KeySet, now)
}
