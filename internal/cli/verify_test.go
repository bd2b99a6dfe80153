package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

// TestVerifyNamesWhatIsWrong reads every refused license file of the vectors. A file that is late,
// unknown, withdrawn or in a later format is never reported as forged.
func TestVerifyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	codes := map[string]struct {
		code   string
		status int
	}{
		"Expired": {"expired", exitDenied}, "NotYet": {"not_started", exitDenied},
		"Withdrawn": {"key_withdrawn", exitWithdrawn}, "Version": {"unsupported", exitFailed},
		"Threshold": {"unknown_issuer", exitUnknown}, "Rollback": {"unknown_issuer", exitUnknown}, "UnknownKey": {"unknown_issuer", exitUnknown},
		"Signature": {"forged", exitTampered}, "Format": {"forged", exitTampered}, "Encoding": {"forged", exitTampered}, "Type": {"forged", exitTampered},
		"Chain": {"forged", exitTampered}, "KeySetExpired": {"forged", exitTampered}, "KeyDates": {"forged", exitTampered},
	}
	seen := map[string]bool{}
	for _, v := range vectorsOf(t) {
		if v.Op != "file" && v.Op != "bundle" {
			continue
		}
		want, ok := codes[v.Error]
		if !ok {
			t.Errorf("%s: no code for %s", v.Name, v.Error)
		}
		_, err := verifyFile(append(v.Data, make([]byte, v.Pad)...), v.trusted, v.Now)
		var e *exit
		var p *client.Problem
		if !errors.As(err, &e) || !errors.As(err, &p) {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if p.Code != want.code || e.status != want.status {
			t.Errorf("%s: %s, exit status %d; want %s, %d: %v", v.Name, p.Code, e.status, want.code, want.status, err)
		}
		seen[p.Code] = true
	}
	for _, code := range []string{"expired", "key_withdrawn", "unknown_issuer", "forged", "unsupported"} {
		if !seen[code] {
			t.Errorf("no file is %s", code)
		}
	}
}

type vector struct {
	Name, Op, Error, Trust string
	Now                    int64
	Pad                    int
	Data                   []byte
	trusted                *license.Verifier
}

// vectorsOf returns the refused vectors, each with its trusted sets.
func vectorsOf(t *testing.T) (list []vector) {
	t.Helper()
	var trusts map[string]struct {
		Issuer, Product       string
		Pinned, Floor, KeySet []string
		RootSets              [][]string
	}
	read := func(name string, to any) {
		text, err := os.ReadFile(filepath.Join("..", "..", "sdk", "license", "testdata", "vectors", name))
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read("trust.json", &trusts)
	read("refused.json", &list)
	for i, v := range list {
		if v.Op != "file" && v.Op != "bundle" {
			continue
		}
		world := trusts[v.Trust]
		if v.Op == "bundle" {
			world = trusts["pinned"]
		}
		trusted, err := license.NewVerifier(world.Issuer, world.Product, world.Pinned)
		if err == nil && world.Floor != nil {
			trusted, err = trusted.WithFloor(world.Floor)
		}
		if err == nil && world.KeySet != nil {
			trusted, err = trusted.WithKeySet(world.KeySet, v.Now)
		}
		if err == nil {
			trusted, err = trusted.WithRootSets(world.RootSets, v.Now)
		}
		if err != nil {
			t.Fatal(v.Name, err)
		}
		list[i].trusted = trusted
	}
	return list
}
