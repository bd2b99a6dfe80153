package licensing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// A Revision is one applied version of a plan. It never changes. ID is the
// hash of its content and identifies equal content.
type Revision struct {
	ID   RevisionID `json:"revision"`
	Plan Plan       `json:"plan"`

	meters map[string]Meter // with their zones; nil until Prepared
}

// Prepared returns r with what licenses share of it: the zones of its meters, which are read from
// files. It fails with Conflict when a zone is unknown.
func (r Revision) Prepared() (Revision, error) {
	meters, err := r.zonedMeters()
	r.meters = meters
	return r, err
}

// zonedMeters returns the meters with their zones loaded.
func (r Revision) zonedMeters() (map[string]Meter, error) {
	if r.meters != nil {
		return r.meters, nil
	}
	meters := make(map[string]Meter, len(r.Plan.Meters))
	for name, m := range r.Plan.Meters {
		loc, err := loadZone(m.Zone)
		if err != nil {
			return nil, Errorf(Conflict, "meter %s: %w", name, err)
		}
		m.location = loc
		meters[name] = m
	}
	return meters, nil
}

// NewRevision names a plan by the SHA-256 of its canonical JSON without the channel.
// A channel points to a revision and is not part of it.
func NewRevision(p Plan) (Revision, error) {
	bare := p
	bare.Channel = ""
	id, err := hashPlan(bare)
	return Revision{ID: id, Plan: p}, err
}

func hashPlan(p Plan) (RevisionID, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", Errorf(Invalid, "encoding plan %s: %w", p.Name, err)
	}
	sum := sha256.Sum256(text)
	return RevisionID(hex.EncodeToString(sum[:])), nil
}

// names returns the names of r: its id, the hash of its content, and the hash that includes
// its channel, which earlier versions used.
func (r Revision) names() ([]RevisionID, error) {
	content, err := hashPlan(r.bare())
	if err != nil {
		return nil, err
	}
	old, err := hashPlan(r.Plan)
	return []RevisionID{r.ID, content, old}, err
}

func (r Revision) bare() Plan {
	p := r.Plan
	p.Channel = ""
	return p
}

// Equal reports whether revisions have the same content, whatever their names.
func (r Revision) Equal(other Revision) (bool, error) {
	a, err := hashPlan(r.bare())
	if err != nil {
		return false, err
	}
	b, err := hashPlan(other.bare())
	return a == b, err
}

// minHash is the minimum number of characters that identify a revision.
const minHash = 6

// FindRevision returns the revision of a plan that has the name, in full or by its
// first characters. It fails with NotFound if there is none, and with Invalid if
// name is too short, is not a hash, or matches several revisions.
func FindRevision(all []Revision, name RevisionID) (Revision, error) {
	if strings.Trim(string(name), "0123456789abcdef") != "" || len(name) < minHash {
		return Revision{}, Errorf(Invalid, "revision %q is not a hash or at least its first %d characters", name, minHash).At("revision")
	}
	if i := slices.IndexFunc(all, func(r Revision) bool { return r.ID == name }); i >= 0 {
		return all[i], nil
	}
	var found []Revision
	for _, r := range all {
		names, err := r.names()
		if err != nil {
			return Revision{}, err
		}
		if !slices.ContainsFunc(names, func(n RevisionID) bool { return strings.HasPrefix(string(n), string(name)) }) {
			continue
		}
		if len(found) > 0 {
			same, err := r.Equal(found[0])
			if err != nil {
				return Revision{}, err
			}
			if !same {
				return Revision{}, Errorf(Invalid, "revision %s matches more than one; give more characters", name).At("revision")
			}
		}
		found = append(found, r)
	}
	if len(found) == 0 {
		return Revision{}, Errorf(NotFound, "revision %s not found", name).At("revision")
	}
	return found[0], nil
}
