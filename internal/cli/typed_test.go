package cli

import (
	"io"
	"strings"
	"testing"

	"copyhold.dev/internal/client"
)

func TestErrorsNameWhatPeopleTyped(t *testing.T) {
	root := (&cli{program: Program{Stdout: io.Discard}}).rootCommand()
	for _, test := range []struct{ command, field, text, want string }{
		{"lease acquire", "holder.id", "holder.id contains spaces", "--holder contains spaces"},
		{"lease acquire", "holder.kind", "holder.kind is missing", "--holder is missing"},
		{"lease acquire", "holder.components", "the holder has more than 32 components", "--component: the holder has more than 32 components"},
		{"lease acquire", "request_id", "request_id is longer than 200 bytes", "--request-id is longer than 200 bytes"},
		{"lease acquire", "units", "units must be between 1 and 9, not 0", "--units must be between 1 and 9, not 0"},
		{"lease acquire", "for", "for must not be negative", "--for must not be negative"},
		{"lease acquire", "version", "version is longer than 200 bytes", "--program-version is longer than 200 bytes"},
		{"lease renew", "lease", "the document belongs to another lease", "--document: the document belongs to another lease"},
		{"lease release", "generation", "generation must be a whole number", "--generation must be a whole number"},
		{"usage record", "quantity", "quantity 1.255 has more decimals", "QUANTITY 1.255 has more decimals"},
		{"usage record", "meter", "meter is missing", "METER is missing"},
		{"check", "quantity", "quantity must not be negative", "--quantity must not be negative"},
		{"license issue", "plan", "plan studio belongs to product lathe", "PLAN studio belongs to product lathe"},
		{"license issue", "addons", "plan studio has no add-on x", "--addon: plan studio has no add-on x"},
		{"license change", "remove", "license lic_1 has no add-on x", "--remove-addon: license lic_1 has no add-on x"},
		{"license change", "remove_exceptions", "it has no exception x", "--remove-exception: it has no exception x"},
		{"license change", "when", "when is \"x\"; it must be now or renewal", "--at-renewal is \"x\"; it must be now or renewal"},
		{"license change", "below", "below is \"x\"; it must be refuse", "--below is \"x\"; it must be refuse"},
		{"product create", "owner.team", "owner.team is empty", "--team is empty"},
		{"product create", "name", "a name has 1 to 64 characters", "PRODUCT: a name has 1 to 64 characters"},
		{"customer create", "name", "a customer needs a name", "NAME: a customer needs a name"},
		{"customer change", "name", "a customer needs a name", "--name: a customer needs a name"},
		{"token create", "expires_at", "the token's expiry is in the past", "--expires-in: the token's expiry is in the past"},
		{"token create", "spans", "only an owner's token spans", "--all-environments: only an owner's token spans"},
		{"plan apply", "files", "at least one plan file is required", "FILE: at least one plan file is required"},
		{"license suspend", "metadata", "metadata has 70 entries", "metadata has 70 entries"}, // nobody types it
	} {
		cmd, _, err := root.Find(strings.Fields(test.command))
		if err != nil {
			t.Fatal(err)
		}
		p := &client.Problem{Detail: test.text, Field: test.field, Typed: typed(cmd, test.field)}
		got := p.Error()
		if got != test.want {
			t.Errorf("%s: the field %s is shown as %q, want %q", test.command, test.field, got, test.want)
		}
	}
}
