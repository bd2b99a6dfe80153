package policy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"copyhold.dev/internal/licensing"
)

func TestTheReferenceIsTrueToTheCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/plans.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Error("the reference shows no plan")
	}
	for _, b := range blocks {
		sources, findings := Read([]File{{Name: "docs/plans.md", Text: b[1]}})
		if findings = append(findings, Lint(sources, licensing.Production)...); len(findings) != 0 {
			t.Errorf("the reference shows a plan with findings: %v", findings)
		}
	}
	for _, name := range []string{"object.go", "read.go", "plan.go", "pool.go", "meter.go", "addon.go", "lint.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:wrong|warn|fault|at)\((?:n, |key, |value, |v, |start, |SevError, |&yaml\.Node\{.*\}, )?(?:[a-z.A-Z+\[\]"(), ]*?)?"([a-z]+(?:-[a-z]+)+|yaml|alias|empty)",`).FindAllStringSubmatch(string(source), -1) {
			if !strings.Contains(page, "`"+m[1]+"`") {
				t.Errorf("%s finds %s, which the reference does not name", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\.(?:text|flag|whole|span|length|date|take|each)\("([a-z_]+)"|(?:parsed|open|features)\(\w+, "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
			if field := m[1] + m[2]; !strings.Contains(page, "`"+field+"`") && !strings.Contains(page, field+": ") {
				t.Errorf("%s reads %s, which the reference does not name", name, field)
			}
		}
	}
}
