package license

import (
	"reflect"
	"slices"
	"strings"
)

// MaxBundle is the maximum length of a license file in bytes, as JSON or armored.
const MaxBundle = 1 << 20

// maxBundleFile is the maximum length of a file that contains one: UTF-16 uses two bytes for each.
const maxBundleFile = 2*MaxBundle + 2

// A Bundle is a license file: a document and everything needed to verify it from a pinned root set.
// It contains no secrets.
type Bundle struct {
	V       int        `json:"v"`               // 1
	Doc     string     `json:"doc"`             // the document, compact JWS
	Chain   []string   `json:"chain,omitempty"` // edge certificates, the document signer's first
	KeySet  []string   `json:"keyset"`
	RootSet []string   `json:"rootset,omitempty"` // if newer than the pinned one
	Earlier [][]string `json:"earlier,omitempty"` // the root sets in between, oldest first
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

// DecodeBundle reads a license file, as JSON or armored, in any encoding that [DecodeText] accepts.
// It verifies nothing. Lines that begin with # are comments. Spaces and line breaks are ignored,
// because mail programs may have wrapped the documents.
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
		return fault(ErrFormat, "key set with %d signatures", len(b.KeySet))
	}
	for _, list := range b.RootSets() {
		if len(list) > maxSignatures {
			return fault(ErrFormat, "root set with %d signatures", len(list))
		}
	}
	return nil
}

// WithBundle trusts the root set and key set of a license file if they are newer than those in
// force. It ignores older ones, because a file may be old. Use Filed on the result to verify the
// document.
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
