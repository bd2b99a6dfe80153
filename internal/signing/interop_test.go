// Package signing_test compares the documents of sdk/license with standard JOSE
// libraries: they accept what we accept, and what they would wrongly accept is
// refused here.
package signing_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"copyhold.dev/sdk/license"
)

var vectors = filepath.Join("..", "..", "sdk", "license", "testdata", "vectors")

type vector struct {
	Name, Op, Error, Trust, Doc, Nonce string
	Now                                int64
	Known                              bool
	List, Chain                        []string
	Data                               []byte
}

type trust struct {
	Issuer, Product string
	Auditor         bool
	Pinned, KeySet  []string
	RootSets        [][]string
	Floor           []string
}

func read(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// A document is one compact JWS with the key that must verify it.
type document struct {
	Name    string `json:"name"`
	Compact string `json:"compact"`
	X       string `json:"x"`
	Alg     string `json:"alg"`
}

// acceptedDocuments returns every document of the accepted vectors: licenses,
// leases, replies and the rest, those in license files, edge certificates, and
// each signature of sets.
func acceptedDocuments(t *testing.T) []document {
	t.Helper()
	var accepted []vector
	var trusts map[string]trust
	read(t, "accepted.json", &accepted)
	read(t, "trust.json", &trusts)
	keys := everyKey(t, accepted, trusts)
	var docs []document
	add := func(name string, compacts ...string) {
		for _, compact := range compacts {
			key, ok := keys[header(t, compact).Kid]
			if !ok {
				t.Errorf("%s: no key", name)
				continue
			}
			docs = append(docs, document{name, compact, key.X, key.Alg})
		}
	}
	for _, v := range accepted {
		if v.Op == "file" {
			b, err := license.DecodeBundle(v.Data)
			if err != nil {
				t.Fatal(v.Name, err)
			}
			v.Doc, v.Chain = b.Doc, b.Chain
		}
		if v.Doc != "" {
			add(v.Name, v.Doc)
		}
		add(v.Name, v.Chain...)
		for _, compact := range v.List {
			if _, ok := keys[header(t, compact).Kid]; ok {
				add(v.Name, compact)
			}
		}
	}
	return docs
}

// everyKey returns the keys of all root sets, key sets and edge certificates.
func everyKey(t *testing.T, accepted []vector, trusts map[string]trust) map[string]license.Key {
	t.Helper()
	keys := map[string]license.Key{}
	take := func(compacts []string) {
		for _, compact := range compacts {
			var set struct {
				Keys []license.Key
				Key  *license.Key
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
			if err == nil {
				err = json.Unmarshal(payload, &set)
			}
			if err != nil {
				t.Fatal(err)
			}
			if set.Key != nil {
				set.Keys = append(set.Keys, *set.Key)
			}
			for _, k := range set.Keys {
				keys[k.Kid] = k
			}
		}
	}
	for name, world := range trusts {
		if strings.HasPrefix(name, "bad: ") {
			continue
		}
		take(world.Pinned)
		take(world.KeySet)
		take(world.Floor)
		for _, set := range world.RootSets {
			take(set)
		}
	}
	for _, v := range accepted {
		take(v.Chain)
	}
	return keys
}

func header(t *testing.T, compact string) (h struct{ Alg, Kid, Typ string }) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[0])
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestGoJoseAcceptsEveryAcceptedDocument(t *testing.T) {
	docs := acceptedDocuments(t)
	if len(docs) < 50 {
		t.Fatalf("%d documents", len(docs))
	}
	modern := 0
	for _, d := range docs {
		if d.Alg != license.AlgEdDSA {
			modern++ // RFC 9864; go-jose v4 does not know that name
			continue
		}
		parsed, err := jose.ParseSignedCompact(d.Compact, []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		if _, err := parsed.Verify(public(t, d.X)); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if parsed.Signatures[0].Protected.ExtraHeaders["typ"] == nil {
			t.Errorf("%s: no typ", d.Name)
		}
	}
	if modern != 1 {
		t.Errorf("%d documents of alg Ed25519", modern)
	}
}

func public(t *testing.T, x string) ed25519.PublicKey {
	t.Helper()
	pub, err := base64.RawURLEncoding.DecodeString(x)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}
