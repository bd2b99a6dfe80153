package license

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A vector is one call of a verifier; testdata/vectors/README.md describes it.
type vector struct {
	Name    string
	Op      string
	Error   string
	Trust   string
	Now     int64
	Known   bool
	Doc     string
	List    []string
	Chain   []string
	Nonce   string
	Held    string
	Data    []byte
	Pad     int
	Flipped bool
}

type trust struct {
	Issuer, Product string
	Auditor         bool
	Pinned          []string
	RootSets        [][]string
	Floor           []string
	KeySet          []string
}

type vectors struct {
	trust             map[string]trust
	accepted, refused []vector
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	for name, to := range map[string]any{"trust": &v.trust, "accepted": &v.accepted, "refused": &v.refused} {
		readJSON(t, name, to)
	}
	return v
}

func readJSON(t testing.TB, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// sentinels maps the names of errors in vectors to the errors.
var sentinels = map[string]error{
	"Format": ErrFormat, "Encoding": ErrEncoding, "Header": ErrHeader, "Type": ErrType, "UnknownKey": ErrUnknownKey, "Key": ErrKey,
	"Signature": ErrSignature, "Version": ErrVersion, "Must": ErrMust, "Issuer": ErrIssuer, "Audience": ErrAudience, "Subject": ErrSubject,
	"Dates": ErrDates, "NotYet": ErrNotYet, "Expired": ErrExpired, "KeyDates": ErrKeyDates, "Withdrawn": ErrWithdrawn,
	"KeySetExpired": ErrKeySetExpired, "Threshold": ErrThreshold, "Rollback": ErrRollback, "Seq": ErrSeq, "Chain": ErrChain,
	"Nonce": ErrNonce, "Document": ErrDocument, "Binding": ErrBinding, "Seal": ErrSeal,
}

// complaint describes what is wrong with the outcome of a vector, "" if nothing is. A panic is also
// an outcome, because mutants of the verifier may cause one.
func (v vectors) complaint(one vector) (what string) {
	defer func() {
		if p := recover(); p != nil {
			what = fmt.Sprint("panic: ", p)
		}
	}()
	err := v.run(one)
	if one.Error == "" && err != nil {
		return fmt.Sprint("refused: ", err)
	}
	if want := sentinels[one.Error]; !errors.Is(err, want) {
		return fmt.Sprintf("%v, want %s", err, one.Error)
	}
	return ""
}

func (v vectors) verifier(t trust, known bool, now int64) (*Verifier, error) {
	var w *Verifier
	var err error
	if t.Auditor {
		w, err = NewAuditor(t.Pinned)
	} else {
		w, err = NewVerifier(t.Issuer, t.Product, t.Pinned)
	}
	if err != nil {
		return nil, err
	}
	if t.Floor != nil {
		if w, err = w.WithFloor(t.Floor); err != nil {
			return nil, err
		}
	}
	if t.KeySet != nil {
		if w, err = w.WithKeySet(t.KeySet, now); err != nil {
			return nil, err
		}
	}
	for _, set := range t.RootSets {
		if w, err = w.WithRootSet(set, now); err != nil {
			return nil, err
		}
	}
	if known {
		w = w.Known()
	}
	return w, nil
}

func (v vectors) run(one vector) error {
	switch one.Op {
	case "json":
		return checkJSON(one.padded())
	case "bundle":
		_, err := DecodeBundle(one.padded())
		return err
	case "armour":
		_, err := Dearmor(one.padded())
		return err
	case "key":
		var k Key
		if err := Unmarshal(one.Data, &k); err != nil {
			return err
		}
		_, err := k.Public()
		return err
	}
	w, err := v.verifier(v.trust[one.Trust], one.Known, one.Now)
	if err != nil {
		return err
	}
	return w.run(one)
}

func (v *Verifier) run(one vector) error {
	var err error
	switch one.Op {
	case "pinned":
	case "keyset":
		_, err = v.WithKeySet(one.List, one.Now)
	case "rootset":
		_, err = v.WithRootSet(one.List, one.Now)
	case "license":
		_, err = v.License(one.Doc, one.Now)
	case "lease":
		_, err = v.Lease(one.Doc, one.Now)
	case "reply":
		_, err = v.Reply(one.Doc, one.Nonce, one.Now)
	case "covers":
		var r *Reply
		if r, err = v.Reply(one.Doc, one.Nonce, one.Now); err == nil {
			err = r.Covers(one.Held)
		}
	case "revocations":
		_, err = v.Revocations(one.Doc, one.Now)
	case "override":
		_, err = v.Override(one.Doc, one.Now)
	case "bulletin":
		_, err = v.Bulletin(one.Doc, one.Now)
	case "edge":
		_, err = v.Edge(one.Chain, one.Now)
	case "lease_chain":
		_, err = v.LeaseChain(one.Doc, one.Chain, one.Now)
	case "reply_chain":
		_, err = v.ReplyChain(one.Doc, one.Chain, one.Nonce, one.Now)
	case "file":
		err = v.runFile(one)
	case "license_replace", "lease_replace", "revocations_replace":
		err = v.runReplace(one)
	default:
		err = fmt.Errorf("no op %q", one.Op)
	}
	return err
}

// runFile reads a license file and verifies its content.
func (v *Verifier) runFile(one vector) error {
	b, err := DecodeBundle(one.Data)
	if err != nil {
		return err
	}
	if v, err = v.WithBundle(b, one.Now); err != nil {
		return err
	}
	v = v.Filed()
	if len(b.Chain) > 0 {
		_, err = v.LeaseChain(b.Doc, b.Chain, one.Now)
		return err
	}
	_, err = v.License(b.Doc, one.Now)
	return err
}

func (v *Verifier) runReplace(one vector) error {
	switch one.Op {
	case "license_replace":
		doc, err := v.License(one.Doc, one.Now)
		if err != nil {
			return err
		}
		return doc.MayReplace(held[License](one.Held))
	case "lease_replace":
		verify := func() (*Lease, error) { return v.Lease(one.Doc, one.Now) }
		if len(one.Chain) > 0 {
			verify = func() (*Lease, error) { return v.LeaseChain(one.Doc, one.Chain, one.Now) }
		}
		doc, err := verify()
		if err != nil {
			return err
		}
		return doc.MayReplace(held[Lease](one.Held))
	}
	doc, err := v.Revocations(one.Doc, one.Now)
	if err != nil {
		return err
	}
	return doc.MayReplace(held[Revocations](one.Held))
}

// held decodes a document that was accepted earlier.
func held[T document](compact string) *T {
	doc := new(T)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, doc)
	}
	if err != nil {
		panic(err)
	}
	return doc
}

func (one vector) padded() []byte {
	return append(bytes.Clone(one.Data), bytes.Repeat([]byte(" "), one.Pad)...)
}

func TestVectorsHold(t *testing.T) {
	v := readVectors(t)
	flipped := 0
	for _, one := range v.accepted {
		if what := v.complaint(one); what != "" {
			t.Errorf("accepted %q: %s", one.Name, what)
		}
	}
	for _, one := range v.refused {
		if sentinels[one.Error] == nil {
			t.Errorf("refused %q: names no error", one.Name)
		}
		if one.Flipped {
			flipped++
		}
		if what := v.complaint(one); what != "" {
			t.Errorf("refused %q: %s", one.Name, what)
		}
	}
	if len(v.accepted) < 30 || len(v.refused)-flipped < 180 || flipped > 20 {
		t.Errorf("%d accepted, %d refused of which %d are flipped", len(v.accepted), len(v.refused), flipped)
	}
}
