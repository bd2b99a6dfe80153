package policy

import (
	"os"
	"path/filepath"
	"testing"

	"copyhold.dev/internal/licensing"
)

// TestAnExamplesRevisionKeepsTheNameThatItHad: the name of each example's revision from the time
// when the channel was part of the name still identifies the revision with today's content.
func TestAnExamplesRevisionKeepsTheNameThatItHad(t *testing.T) {
	was := map[licensing.PlanName]licensing.RevisionID{
		"classic":  "8d74cabf3de1bf8cd2cd30eb1fa8c6ea07bc7aa5ae4d59c4a8b0197d3043c316",
		"cloud":    "0b524bd6833e3cae0e255a5f6517d4c858616efce939d3455e7dabd51969fe09",
		"drafting": "8d2396a02286ce6e5454a53cf15309b763d27341f864ce798f19b97ddef27b48",
		"fast":     "ab25d8b77ef8e89dbb28623390f0f02ca7416e253883bc585e55a6d72540c9b8",
		"platform": "44fc50443bc06664410a721b0b44978ba1f0d993252cf2aa2068d7bd07c32807",
		"render":   "d2bafe697325f778459b342c0f04328bedb4f12ad0fb4d1a2574bcf4806f6bdf",
		"studio":   "572538fcf185073a951a16f2ae4e34392f943ad00f59e84847e036c92cf01fbf",
		"team":     "19a305c67f1bf29d7f8f1b365f29d5e1695c8105354beb9a19cd8a80fbacd3a7",
		"trial":    "5577b5a1a9bbcaf5a418c4e29d5d7fac4fc1c1c18164662e83f6bd9473d52752",
		"workshop": "f7cbafb4b6cbae6fc5a949aa3aca9e16461223eef7b2ba11cb1379f6b81e86a1",
	}
	names, err := filepath.Glob("../../examples/plans/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Name: name, Text: string(text)})
	}
	plans, findings := Read(files)
	if len(findings) > 0 || len(plans) < len(was) {
		t.Fatal(len(plans), findings)
	}
	var all []licensing.Revision
	for _, s := range plans {
		rev, err := licensing.NewRevision(s.Plan)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rev)
		moved := s.Plan
		moved.Channel = "beta"
		if other, err := licensing.NewRevision(moved); err != nil || other.ID != rev.ID {
			t.Errorf("%s has another name on another channel", s.Plan.Name)
		}
	}
	for _, rev := range all {
		old, known := was[rev.Plan.Name]
		if !known {
			continue // an example of later
		}
		for _, name := range []licensing.RevisionID{old, old[:12], rev.ID, rev.ID[:12]} {
			if found, err := licensing.FindRevision(all, name); err != nil || found.Plan.Name != rev.Plan.Name {
				t.Errorf("%s: %s names %s, %v", rev.Plan.Name, name, found.Plan.Name, err)
			}
		}
	}
	for name, code := range map[licensing.RevisionID]licensing.Code{"": licensing.Invalid, "abc": licensing.Invalid, "not a hash": licensing.Invalid, "000000000000": licensing.NotFound} {
		if _, err := licensing.FindRevision(all, name); licensing.CodeOf(err) != code {
			t.Errorf("%q: %v", name, err)
		}
	}
}
