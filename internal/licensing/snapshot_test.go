package licensing

import (
	"encoding/json"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// TestASnapshotIsFrozen compares the members of a snapshot with those in entries of the log. A
// member that is not left out when it is empty makes every license deviate from its entries.
func TestASnapshotIsFrozen(t *testing.T) {
	day := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		l    License
		want string
	}{
		{License{}, `{"customer":"","issued":"0001-01-01T00:00:00Z","payment":"","plan":"","product":"","seq":[0,0],"status":""}`},
		{License{
			Env: "production", ID: "lic_1", Product: "lathe", Customer: "cus_1", Plan: "studio", Revision: "rev_1", Channel: "stable",
			Granted: "rev_1", Edition: "pro", Status: Active, Payment: Paid, Reference: "R1", Issued: day, Start: day, End: day, TermEnd: day,
			Renewed: []time.Time{day}, Ended: []time.Time{day}, Maintenance: day, Addons: []Grant{{Addon: "export"}}, ChangeAt: day,
			Metadata: map[string]string{"name": "Ann"}, Seq: license.Seq{Epoch: 2, Counter: 3},
		}, `{"addons":[{"addon":"export","quantity":0}],"change_at":"2026-11-30T12:00:00Z","channel":"stable","customer":"cus_1","edition":"pro","end":"2026-11-30T12:00:00Z","ended":["2026-11-30T12:00:00Z"],"granted":"rev_1","issued":"2026-11-30T12:00:00Z","maintenance":"2026-11-30T12:00:00Z","metadata":"sha256:-3grXPG3Nb_iAqMEFaA4xO0SPu0z6Y9tQCEaiVXmMgM","payment":"paid","plan":"studio","product":"lathe","reference":"R1","renewed":["2026-11-30T12:00:00Z"],"revision":"rev_1","seq":[2,3],"start":"2026-11-30T12:00:00Z","status":"active","term_end":"2026-11-30T12:00:00Z"}`},
	} {
		s, err := c.l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil || string(text) != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, text, c.want)
		}
	}
}
