package licensing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"copyhold.dev/sdk/license"
)

// A Stand is how a change left a license, as the log keeps it: enough to notice
// that its row was changed since, and how if that is plain.
type Stand struct {
	Seq      license.Seq `json:"seq"`
	Status   Status      `json:"status"`
	Revision RevisionID  `json:"revision"`
	Digest   string      `json:"digest"` // base64url SHA-256 of all that the row says
}

// Stand returns how l stands. It is the same before l is stored and after it is
// read: times count in microseconds, and what is empty is absent.
func (l License) Stand() (Stand, error) {
	s := Stand{Seq: l.Seq, Status: l.Status, Revision: l.Granted}
	for _, t := range []*time.Time{&l.Issued, &l.Start, &l.End, &l.Maintenance} {
		*t = t.UTC().Truncate(time.Microsecond)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return s, Errorf(Internal, "encoding license %s: %w", l.ID, err)
	}
	var again License // as it comes out of its row
	if err := json.Unmarshal(text, &again); err != nil {
		return s, Errorf(Internal, "encoding license %s: %w", l.ID, err)
	}
	if text, err = json.Marshal(again); err != nil {
		return s, Errorf(Internal, "encoding license %s: %w", l.ID, err)
	}
	sum := sha256.Sum256(text)
	s.Digest = base64.RawURLEncoding.EncodeToString(sum[:])
	return s, nil
}

// After reports whether s is of a later change than one with a seq of these parts.
func (s Stand) After(epoch, counter int64) bool {
	return s.Seq.Compare(license.Seq{Epoch: epoch, Counter: counter}) > 0
}
