package license

import (
	"reflect"
	"testing"
	"testing/quick"
)

// TestALeaseIsWrittenAsEncodeWouldWriteIt compares both functions on arbitrary leases: appendJSON
// writes the same as encode and complies with the profile.
func TestALeaseIsWrittenAsEncodeWouldWriteIt(t *testing.T) {
	written, left := 0, 0
	same := func(l Lease, audience []string, raw []byte, bound, small bool) bool {
		l.Must, l.Audience = nil, audience
		if !bound {
			l.Binding, l.Recall = nil, nil
		}
		if small {
			shrink(&l)
		}
		text := string(raw) // not always UTF-8
		if len(raw)%4 != 0 {
			for i := range raw {
				raw[i] = '#' + raw[i]%('['-'#')
			}
			text = string(raw)
			l.Issuer, l.Subject, l.ID, l.Lease, l.Pool, l.Holder, l.Instance, l.Entry, l.Nonce, l.Node = text, text, text, text, text, text, text, text, text, text
			l.Head = &Head{text, l.Stale, text}
			l.Audience = []string{text, text}[:1+len(raw)%2]
		}
		l.Holder = text
		got, ok := l.appendJSON(nil)
		if !ok {
			left++
			return true
		}
		written++
		want, err := encode(l)
		if err != nil || string(got) != string(want) {
			t.Logf("got  %s\nwant %s (%v)", got, want, err)
			return false
		}
		return checkJSON(got) == nil
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 4000}); err != nil {
		t.Errorf("%.400s", err)
	}
	if written < 400 || left < 400 {
		t.Errorf("%d leases were written and %d left to encode: the test asks too little", written, left)
	}
}

// shrink limits the numbers of l to the range of the profile.
func shrink(l *Lease) {
	for _, n := range []*int64{&l.IssuedAt, &l.NotBefore, &l.Expires, &l.Version, &l.Seq.Epoch, &l.Seq.Counter, &l.Refresh[0],
		&l.Refresh[1], &l.Stale, &l.Due, &l.Degraded, &l.Units, &l.Generation, &l.Incarnation} {
		*n %= MaxInt + 1
	}
}

// TestAppendJSONKnowsEveryMember fails if a lease gets a member that appendJSON does not write.
func TestAppendJSONKnowsEveryMember(t *testing.T) {
	for typ, want := range map[reflect.Type]int{
		reflect.TypeFor[Lease](): 15, reflect.TypeFor[Claims](): 10, reflect.TypeFor[Dates](): 4, reflect.TypeFor[Head](): 3,
	} {
		if n := typ.NumField(); n != want {
			t.Errorf("%v has %d members, appendJSON knows %d", typ, n, want)
		}
	}
}
