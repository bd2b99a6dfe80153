package licensing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// maxMember is the maximum number of bytes of a member in a Snapshot. Longer members
// become digests.
const maxMember = 256

// digestPrefix begins the text of a member that is a digest.
const digestPrefix = "sha256:"

// A Snapshot is the state of a license after a change, as the log keeps it: the members of
// its row. It shows whether the row was changed since, and in which members. Long members
// and metadata, which may name people, are digests, so that entries stay small
// and erasing one copy is enough.
type Snapshot map[string]json.RawMessage

// Snapshot returns l as the log keeps it. It is the same before l is stored and after it is
// read: times are in microseconds, and empty members are absent.
func (l License) Snapshot() (Snapshot, error) {
	text, err := l.row()
	if err != nil {
		return nil, err
	}
	var s Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, Errorf(Internal, "encoding license %s: %w", l.ID, err)
	}
	delete(s, "environment") // every entry names its license
	delete(s, "id")
	for name, value := range s {
		if name == "metadata" || len(value) > maxMember {
			s[name] = json.RawMessage(`"` + digestPrefix + digest(value) + `"`)
		}
	}
	return s, nil
}

// Same reports whether l and other have the same contents.
func (l License) Same(other License) (bool, error) {
	text, err := l.row()
	if err != nil {
		return false, err
	}
	others, err := other.row()
	return bytes.Equal(text, others), err
}

// Digest returns the base64url SHA-256 of the row of l. Entries of earlier versions have it
// in place of the members.
func (l License) Digest() (string, error) {
	text, err := l.row()
	return digest(text), err
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// A row is a License as the log and a Snapshot write it. It is frozen: a new member that is
// not left out when it is empty makes every license deviate from its entries.
type row struct {
	Env         Env               `json:"environment"`
	ID          LicenseID         `json:"id"`
	Product     ProductName       `json:"product"`
	Customer    CustomerID        `json:"customer"`
	Plan        PlanName          `json:"plan"`
	Revision    RevisionID        `json:"revision,omitempty"`
	Channel     string            `json:"channel,omitempty"`
	Granted     RevisionID        `json:"granted,omitempty"`
	Edition     string            `json:"edition,omitempty"`
	Status      Status            `json:"status"`
	Payment     Payment           `json:"payment"`
	Reference   string            `json:"reference,omitempty"`
	Issued      time.Time         `json:"issued"`
	Start       time.Time         `json:"start,omitzero"`
	End         time.Time         `json:"end,omitzero"`
	TermEnd     time.Time         `json:"term_end,omitzero"`
	Renewed     []time.Time       `json:"renewed,omitempty"`
	Ended       []time.Time       `json:"ended,omitempty"`
	Maintenance time.Time         `json:"maintenance,omitzero"`
	Addons      []Grant           `json:"addons,omitempty"`
	Exceptions  []Exception       `json:"exceptions,omitempty"`
	Scheduled   []Change          `json:"scheduled,omitempty"`
	ChangeAt    time.Time         `json:"change_at,omitzero"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Seq         license.Seq       `json:"seq"`
}

// row returns the text of l as it would be read from its row.
func (l License) row() ([]byte, error) {
	for _, t := range []*time.Time{&l.Issued, &l.Start, &l.End, &l.Maintenance} {
		*t = t.UTC().Truncate(time.Microsecond)
	}
	text, err := json.Marshal(row(l))
	var again row
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err == nil {
		text, err = json.Marshal(again)
	}
	if err != nil {
		return nil, Errorf(Internal, "encoding license %s: %w", l.ID, err)
	}
	return text, nil
}

// Digest returns the digest that an entry of an earlier version has in place of the members, or "".
func (s Snapshot) Digest() (text string) {
	_ = json.Unmarshal(s["digest"], &text)
	return text
}

// Seq orders the changes of a license; it is zero if s has none.
func (s Snapshot) Seq() (seq license.Seq) {
	_ = json.Unmarshal(s["seq"], &seq)
	return seq
}

// After reports whether s is from a later change than one with these parts of a seq.
func (s Snapshot) After(epoch, counter int64) bool {
	return s.Seq().Compare(license.Seq{Epoch: epoch, Counter: counter}) > 0
}

// A Deviation is a member of a license's row that differs from the log. Row
// and Entry are empty if there is none, and both are if the log has a digest.
type Deviation struct {
	Field string `json:"field"`
	Row   string `json:"row,omitempty"`
	Entry string `json:"entry,omitempty"`
}

// Against returns the members in which s, of a row, differs from an entry's, sorted by name.
func (s Snapshot) Against(entry Snapshot) []Deviation {
	all := maps.Clone(s)
	maps.Copy(all, entry)
	var found []Deviation
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if row, left := s[name], entry[name]; !bytes.Equal(row, left) {
			d := Deviation{Field: name}
			if !digested(row) && !digested(left) {
				d.Row, d.Entry = stoodText(row), stoodText(left)
			}
			found = append(found, d)
		}
	}
	return found
}

func digested(value json.RawMessage) bool {
	return bytes.HasPrefix(value, []byte(`"`+digestPrefix))
}

// stoodText returns a member in the form that people read.
func stoodText(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// String writes both values, if they are known.
func (d Deviation) String() string {
	if d.Row == "" && d.Entry == "" {
		return d.Field + ": the row differs from the log entry"
	}
	said := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return s
	}
	return d.Field + ": the row has " + said(d.Row) + ", but the log entry has " + said(d.Entry)
}
