package authority

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
)

// frozen fails at the end of a test if one of its last log entries contains a member that the
// payloads of its type do not have.
func frozen(t testing.TB, a *Authority) {
	t.Cleanup(func() {
		ctx := context.Background()
		if a.ledger.Sequence(ctx) != nil {
			return // the test has closed or broken the database
		}
		last, err := a.LogEntries(ctx, access.System(testEnv, "test"), ledger.LogFilter{}, request.PageOf{Limit: 500})
		if err != nil {
			return
		}
		for _, e := range last.Items {
			if text := outside(e.Type, e.Data); text != "" && !e.Erased {
				t.Errorf("an entry of type %s has members that its payloads lack: %s", e.Type, text)
			}
		}
	})
}

// outside returns data if no payload of a type accepts all of it, and "" otherwise.
func outside(kind string, data json.RawMessage) string {
	payloads, known := entry.Of(kind)
	members := map[string]json.RawMessage{}
	if len(data) > 0 && json.Unmarshal(data, &members) != nil || !known {
		return kind + ": " + string(data)
	}
	delete(members, "stands")
	if len(members) == 0 {
		return ""
	}
	text, _ := json.Marshal(members)
	for _, p := range payloads {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if d.Decode(p) == nil {
			return ""
		}
	}
	return string(text)
}
