package signing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"copyhold.dev/sdk/license"
)

// A careless verifier uses a standard library as in its first example.
type careless func(t *testing.T, compact string, key license.Key) error

// anyTyp checks the signature and never looks at typ or at the payload's form.
func anyTyp(t *testing.T, compact string, key license.Key) error {
	parsed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return err
	}
	_, err = parsed.Verify(public(t, key.X))
	return err
}

// headersAlg lets the header choose the algorithm, with the public key as the key.
func headersAlg(t *testing.T, compact string, key license.Key) error {
	parsed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA, jose.HS256})
	if err != nil {
		return err
	}
	_, err = parsed.Verify([]byte(public(t, key.X)))
	return err
}

// headersKey takes the key that the document brings along.
func headersKey(_ *testing.T, compact string, _ license.Key) error {
	parsed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return err
	}
	_, err = parsed.Verify(parsed.Signatures[0].Header.JSONWebKey)
	return err
}

// TestWhatStockLibrariesAcceptIsRefused gives our verifier documents that a careless use of
// a standard library accepts. go-jose itself refuses the other documents, and so does
// our verifier.
func TestWhatStockLibrariesAcceptIsRefused(t *testing.T) {
	var refused []vector
	var trusts map[string]trust
	read(t, "refused.json", &refused)
	read(t, "trust.json", &trusts)
	keys := everyKey(t, nil, trusts)
	for _, one := range []struct {
		name  string
		stock careless
		want  error
	}{
		{"header: alg none", nil, license.ErrHeader},
		{"header: alg HS256 with the public key", headersAlg, license.ErrHeader},
		{"header: jwk", anyTyp, license.ErrHeader},
		{"header: jwk of a stranger who signed", headersKey, license.ErrHeader},
		{"header: crit", nil, license.ErrHeader},
		{"header: b64 false", nil, license.ErrHeader},
		{"header: jku", anyTyp, license.ErrHeader},
		{"header: typ JWT", anyTyp, license.ErrType},
		{"header: typ missing", anyTyp, license.ErrHeader},
		{"header: order", anyTyp, license.ErrHeader},
		{"license: json: member twice", anyTyp, license.ErrFormat},
		{"license: json: exp twice", anyTyp, license.ErrFormat},
		{"license: json: member twice by case", anyTyp, license.ErrFormat},
		{"license: json: data after the end", anyTyp, license.ErrFormat},
		{"license: shape: aud a text", anyTyp, license.ErrFormat},
		{"license: must unknown", anyTyp, license.ErrMust},
		{"kind: lease as license", anyTyp, license.ErrType},
		{"kind: lease under the header of a license", anyTyp, license.ErrFormat},
		{"time: key withdrawn, issued after", anyTyp, license.ErrWithdrawn},
		{"time: issued at sign_until", anyTyp, license.ErrKeyDates},
	} {
		i := slices.IndexFunc(refused, func(v vector) bool { return v.Name == one.name })
		if i < 0 {
			t.Errorf("no vector %q", one.name)
			continue
		}
		v := refused[i]
		if one.stock != nil {
			if err := one.stock(t, v.Doc, keys[carelessKid(t, v.Doc)]); err != nil {
				t.Errorf("%s: the stock library refuses it too: %v", one.name, err)
			}
		}
		if _, err := verifier(t, trusts[v.Trust], v.Now).License(v.Doc, v.Now); !errors.Is(err, one.want) {
			t.Errorf("%s: %v, want %v", one.name, err, one.want)
		}
	}
}

// carelessKid reads the kid with a lenient decoder.
func carelessKid(t *testing.T, compact string) string {
	if !strings.HasSuffix(compact, ".") {
		return header(t, compact).Kid
	}
	return ""
}

func verifier(t *testing.T, world trust, now int64) *license.Verifier {
	t.Helper()
	v, err := license.NewVerifier(world.Issuer, world.Product, world.Pinned)
	if err == nil {
		v, err = v.WithKeySet(world.KeySet, now)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestKeysFromInsideTheFileAreRefused reads license files that bring their own
// keys or root, each signature of which a stock library accepts.
func TestKeysFromInsideTheFileAreRefused(t *testing.T) {
	var refused []vector
	var trusts map[string]trust
	read(t, "refused.json", &refused)
	read(t, "trust.json", &trusts)
	for _, name := range []string{"file: with its own keys", "file: with its own root"} {
		i := slices.IndexFunc(refused, func(v vector) bool { return v.Name == name })
		b, err := license.DecodeBundle(refused[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		own := everyKey(t, nil, map[string]trust{"": {KeySet: b.KeySet, Pinned: b.RootSet}})
		if err := anyTyp(t, b.Doc, own[header(t, b.Doc).Kid]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v, err := license.NewVerifier(trusts["pinned"].Issuer, trusts["pinned"].Product, trusts["pinned"].Pinned)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.WithBundle(b, refused[i].Now); !errors.Is(err, license.ErrThreshold) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChainsWiderThanTheirParentAreRefused gives leases and certificates whose
// signatures all verify to a stock library, one by one.
func TestChainsWiderThanTheirParentAreRefused(t *testing.T) {
	var refused []vector
	var trusts map[string]trust
	read(t, "refused.json", &refused)
	read(t, "trust.json", &trusts)
	wide := 0
	for _, v := range refused {
		if v.Error != "Chain" || len(v.Chain) == 0 || v.Op != "edge" && v.Op != "lease_chain" || v.Trust != "main" {
			continue
		}
		wide++
		keys := everyKey(t, []vector{v}, trusts)
		docs := v.Chain
		if v.Doc != "" {
			docs = append([]string{v.Doc}, docs...)
		}
		for _, doc := range docs {
			if err := anyTyp(t, doc, keys[header(t, doc).Kid]); err != nil {
				t.Errorf("%s: the stock library refuses it too: %v", v.Name, err)
			}
		}
		ours := verifier(t, trusts["main"], v.Now)
		_, err := ours.Edge(v.Chain, v.Now)
		if v.Op == "lease_chain" {
			_, err = ours.LeaseChain(v.Doc, v.Chain, v.Now)
		}
		if !errors.Is(err, license.ErrChain) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	if wide < 10 {
		t.Errorf("%d chains", wide)
	}
}
