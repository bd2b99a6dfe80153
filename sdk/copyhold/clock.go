package copyhold

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// clockTolerance is how far the wall clock may be ahead of signed time plus the time
// since, in seconds, before it is doubted: what a real clock and a slow answer explain.
const clockTolerance = 300

// A clock tells the time that the ladder is read at. Its high-water mark moves with
// signed time only, so a wrong clock is forgotten as soon as it is corrected.
// The client's lock guards it.
type clock struct {
	wall func() time.Time
	boot func() time.Duration

	signed int64         // highest signed time, unix seconds
	at     time.Duration // on the boot clock, no later than signed was
	exact  bool          // signed was said at that moment, and at counts all time since
}

// A reading is one look at the clock, in unix seconds.
type reading struct {
	now     int64 // never before trusted
	trusted int64 // signed time plus the time since: not after the true time
	doubt   bool  // the wall clock is ahead of what the boot clock can explain
}

func (c *clock) read() reading {
	r := reading{trusted: c.trusted()}
	r.now = max(c.wall().Unix(), r.trusted)
	r.doubt = c.exact && r.now > r.trusted+clockTolerance
	return r
}

func (c *clock) trusted() int64 {
	if c.signed == 0 {
		return 0
	}
	return c.signed + int64((c.boot()-c.at)/time.Second)
}

// advance takes a time out of a verified statement. Fresh says that the statement was made
// just now: it carried our nonce. Only such a one can set the mark back, when a server that
// signed with a wrong clock has been corrected: a copy of an old answer cannot.
// It reports whether that happened.
func (c *clock) advance(signed int64, fresh bool) (back bool) {
	trusted := c.trusted()
	back = fresh && signed < trusted-clockTolerance
	if signed > trusted || back {
		c.signed, c.at, c.exact = signed, c.boot(), false
	}
	c.exact = c.exact || fresh
	return back
}

// best returns the time to stamp what happens now with: signed time plus the time since,
// where that is exact.
func (c *clock) best() int64 {
	r := c.read()
	if c.exact {
		return r.trusted
	}
	return r.now
}

// A clockRecord is the clock as it is kept on disk: the server's last answer, and what
// proves when it was asked. The wall clock has no part in it.
type clockRecord struct {
	Signed int64         `json:"signed"` // the highest signed time; decides only which sets count
	Boot   string        `json:"boot,omitempty"`
	At     time.Duration `json:"at,omitempty"` // on the boot clock, of the question
	Salt   string        `json:"salt,omitempty"`
	Reply  string        `json:"reply,omitempty"`

	Exact bool `json:"exact,omitempty"` // of earlier versions, which have no proof of it
}

// ask returns the record of a question that is asked now.
func (s system) ask() clockRecord {
	return clockRecord{Boot: s.bootID, At: s.boot(), Salt: rand.Text()}
}

// nonce is the question's. It commits to the boot and its clock, so that the answer proves
// both later, and tells the server neither.
func (r clockRecord) nonce() string {
	sum := sha256.Sum256([]byte(r.Salt + "\x00" + r.Boot + "\x00" + strconv.FormatInt(int64(r.At), 10)))
	return hex.EncodeToString(sum[:16])
}

// moment is when the question was asked that was answered at a signed time.
func (r clockRecord) moment(signed int64) moment {
	if r.Boot == "" {
		return moment{Wall: signed}
	}
	return moment{Boot: r.Boot, At: r.At}
}

// restore takes a signed time from an earlier process. In the same boot the time since is
// known; after another, that at least this boot has passed since; else nothing. It reports
// whether that is later than what was known.
func (c *clock) restore(signed int64, r clockRecord, boot string) bool {
	at, exact := c.boot(), false
	switch {
	case boot == "":
	case r.Boot == boot && r.At <= at:
		at, exact = r.At, true
	case r.Boot != boot:
		at = 0
	}
	if signed+int64((c.boot()-at)/time.Second) <= c.trusted() {
		return false
	}
	c.signed, c.at, c.exact = signed, at, exact
	return true
}
