package copyhold

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// clockTolerance is how far the wall clock may be ahead of the signed time plus the time since
// then, in seconds, before it is doubted. A real clock and a slow answer explain this much.
const clockTolerance = 300

// A clock returns the time at which the ladder is read. Only signed time moves its high-water mark,
// so a wrong clock has no effect once it is corrected. The client's lock guards it.
type clock struct {
	wall func() time.Time
	boot func() time.Duration

	signed int64         // highest signed time, unix seconds
	at     time.Duration // boot-clock time, no later than the moment of signed
	exact  bool          // signed was stated at that moment, and at counts all time since then
}

// A reading is one look at the clock, in unix seconds.
type reading struct {
	now     int64 // never before trusted
	trusted int64 // signed time plus the time since then: never after the true time
	doubt   bool  // the wall clock is further ahead than the boot clock can explain
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

// advance takes the time from a verified statement. Fresh means that the statement was made just
// now, because it contains our nonce. Only a fresh statement can set the mark back, after a server
// that signed with a wrong clock was corrected; a copy of an old answer cannot. advance reports
// whether it set the mark back.
func (c *clock) advance(signed int64, fresh bool) (back bool) {
	trusted := c.trusted()
	back = fresh && signed < trusted-clockTolerance
	if signed > trusted || back {
		c.signed, c.at, c.exact = signed, c.boot(), false
	}
	c.exact = c.exact || fresh
	return back
}

// best returns the time for stamping an event that happens now: signed time plus the time since
// then, if that is exact.
func (c *clock) best() int64 {
	r := c.read()
	if c.exact {
		return r.trusted
	}
	return r.now
}

// A clockRecord is the clock as stored on disk: the server's last answer, and the proof of when the
// client asked. It does not depend on the wall clock.
type clockRecord struct {
	Signed int64         `json:"signed"` // the highest signed time; it only decides which sets count
	Boot   string        `json:"boot,omitempty"`
	At     time.Duration `json:"at,omitempty"` // boot-clock time of the request
	Salt   string        `json:"salt,omitempty"`
	Reply  string        `json:"reply,omitempty"`

	Exact bool `json:"exact,omitempty"` // written by earlier versions, which stored no proof of it
}

// ask returns the record of a request that is made now.
func (s system) ask() clockRecord {
	return clockRecord{Boot: s.bootID, At: s.boot(), Salt: rand.Text()}
}

// nonce returns the nonce of the request. It commits to the boot and its clock, so the answer later
// proves both, but it reveals neither to the server.
func (r clockRecord) nonce() string {
	sum := sha256.Sum256([]byte(r.Salt + "\x00" + r.Boot + "\x00" + strconv.FormatInt(int64(r.At), 10)))
	return hex.EncodeToString(sum[:16])
}

// moment returns when the request was made whose answer has the given signed time.
func (r clockRecord) moment(signed int64) moment {
	if r.Boot == "" {
		return moment{Wall: signed}
	}
	return moment{Boot: r.Boot, At: r.At}
}

// restore takes a signed time from an earlier process. Within the same boot, the time since then is
// known. After another boot, at least the time since this boot has passed. Otherwise nothing is
// known. restore reports whether the result is later than the time known before.
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
