package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

func TestTheLogIsReadProvenErasedAndVerifiedOverHTTP(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	owner := d.bearer(d.owner, v1.TokenRequest{Role: access.Owner})
	d.check(d.authority.Sequence(t.Context()))
	var rows audit.Reconciliation
	d.as(owner, http.StatusOK, "GET", "/v1/audit/reconciliation", nil, &rows)
	if rows.Licenses != 1 || !rows.Agrees() {
		t.Errorf("%+v", rows)
	}
	var page struct{ Items []struct{ Index int64 } }
	d.as(owner, http.StatusOK, "GET", "/v1/audit?limit=3", nil, &page)
	if len(page.Items) != 3 {
		t.Fatalf("%d entries", len(page.Items))
	}
	entry := fmt.Sprintf("/v1/audit/%d", page.Items[0].Index)
	var proof struct{ Leaf, Proof, Key string }
	d.as(owner, http.StatusOK, "GET", entry+"/proof", nil, &proof)
	if proof.Leaf == "" || proof.Proof == "" || proof.Key == "" {
		t.Errorf("proof %+v", proof)
	}
	var head struct{ Signed, Key string }
	d.as(owner, http.StatusOK, "GET", "/v1/audit/head", nil, &head)
	kept, err := audit.OpenHead(head.Signed, head.Key)
	d.check(err)
	d.as(owner, http.StatusOK, "GET", "/v1/audit/consistency?from=1", nil, nil)
	d.as(owner, http.StatusUnprocessableEntity, "DELETE", entry+"/payload", nil, nil)
	d.as(owner, http.StatusNoContent, "DELETE", entry+"/payload?reason=asked", nil, nil)
	var erased struct{ Erased bool }
	d.as(owner, http.StatusOK, "GET", entry, nil, &erased)
	if !erased.Erased {
		t.Error("the payload is still there")
	}
	l, err := audit.OpenExport(bytes.NewReader(d.as(owner, http.StatusOK, "GET", "/v1/audit/rows", nil, nil).body))
	d.check(err)
	report, err := audit.Verify(l, kept)
	d.check(err)
	if !report.Whole() || report.Erased != 1 {
		t.Errorf("%+v", report)
	}
	d.as(owner, http.StatusNotFound, "GET", "/v1/audit/999999", nil, nil)
}

func TestKeysAreRotatedAndTheRootTravelsOverHTTP(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	owner := d.bearer(d.owner, v1.TokenRequest{Role: access.Owner})
	var listed struct {
		Items []struct{ Kid, Use, State string }
	}
	d.as(owner, http.StatusOK, "GET", "/v1/signing-keys", nil, &listed)
	if len(listed.Items) != 15 || listed.Items[0].State != "signs" {
		t.Errorf("%+v", listed.Items)
	}
	var next struct{ Kid, State string }
	d.as(owner, http.StatusOK, "POST", "/v1/signing-keys/rotate", nil, &next)
	if next.Kid != listed.Items[1].Kid || next.State != "signs" {
		t.Errorf("rotated to %+v", next)
	}
	const root = "/v1/signing-keys/root/"
	d.as(owner, http.StatusConflict, "POST", root+"remove", nil, nil)
	var private map[string]any
	d.as(owner, http.StatusOK, "POST", root+"export", nil, &private)
	d.as(owner, http.StatusNoContent, "POST", root+"remove", nil, nil)
	withdraw := "/v1/signing-keys/" + listed.Items[0].Kid + "/withdraw"
	d.as(owner, http.StatusConflict, "POST", withdraw, members{"reason": "stolen"}, nil)
	d.as(owner, http.StatusNoContent, "POST", root+"import", private, nil)
	var withdrawn struct{ State string }
	d.as(owner, http.StatusOK, "POST", withdraw, members{"reason": "stolen"}, &withdrawn)
	if withdrawn.State != "withdrawn" {
		t.Errorf("%+v", withdrawn)
	}
	var ceremony signing.RootCeremony
	d.as(owner, http.StatusUnprocessableEntity, "POST", root+"new", members{"keep": []string{"nobody"}}, nil)
	d.as(owner, http.StatusOK, "POST", root+"new", members{"roots": 1, "threshold": 1}, &ceremony)
	ceremony, fresh, err := ceremony.MakeRoots(0)
	d.check(err)
	text, err := json.Marshal(private)
	d.check(err)
	for _, roots := range []signing.Secret{fresh, signing.NewSecret(string(text))} {
		d.as(owner, http.StatusUnprocessableEntity, "POST", root+"install", members{"rootset": append([]string{"a.b.c"}, ceremony.RootSet...), "keyset": append([]string{"a.b.c"}, ceremony.KeySet...)}, nil)
		ceremony, _, err = ceremony.Sign(roots)
		d.check(err)
	}
	var installed v1.InstalledRootSet
	d.as(owner, http.StatusOK, "POST", root+"install", members{"rootset": ceremony.RootSet, "keyset": ceremony.KeySet}, &installed)
	if installed.Number != 2 || len(installed.Gone) != 2 || len(installed.Roots) != 1 {
		t.Errorf("%+v", installed)
	}
	d.as("", http.StatusOK, "GET", "/v1/rootset?number=2", nil, nil)
	d.as("", http.StatusNotFound, "GET", "/v1/rootset?number=3", nil, nil)
	d.as("", http.StatusUnprocessableEntity, "GET", "/v1/rootset?number=x", nil, nil)
	var feature struct{ Public []byte }
	d.as(owner, http.StatusOK, "POST", "/v1/products/lathe/features/export/key", nil, &feature)
	if len(feature.Public) != 32 {
		t.Errorf("a key of %d bytes", len(feature.Public))
	}
}
