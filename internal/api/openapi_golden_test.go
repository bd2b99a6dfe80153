package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"copyhold.dev/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestTheAPIIsThatOfTheGoldenDocument compares the API's description, and with it every type of
// request and answer, with docs/openapi.json. Version 1 only grows: removing or renaming
// something breaks a program somewhere.
func TestTheAPIIsThatOfTheGoldenDocument(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	var document map[string]any
	d.get("/openapi.json", &document)
	delete(document, "servers")
	if info, ok := document["info"].(map[string]any); ok {
		info["version"] = "v1"
	}
	text, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	const golden = "../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(text, want) {
		return
	}
	now, then := bytes.Split(text, []byte("\n")), bytes.Split(want, []byte("\n"))
	line := 0
	for line < min(len(now), len(then)) && bytes.Equal(now[line], then[line]) {
		line++
	}
	t.Errorf("the API is not that of %s, from line %d on:\n%s\nRun the test with -update and read the difference.",
		golden, line+1, bytes.Join(now[max(0, line-5):min(len(now), line+10)], []byte("\n")))
}
