package license

import "strconv"

// appendJSON writes l as encode does. Servers sign leases constantly, and encoding the struct by
// reflection each time takes a third of the time of a signature. appendJSON returns false for a
// lease that it leaves to encode. Everything it writes needs no escapes and complies with the JSON
// profile.
func (l Lease) appendJSON(b []byte) ([]byte, bool) {
	if l.Binding != nil || l.Recall != nil || len(l.Must) > 0 || len(l.Audience) == 0 || !l.whole() || !l.plain() {
		return nil, false
	}
	b = appendText(append(b, '{'), "iss", l.Issuer)
	b = append(b, `,"aud":[`...)
	for i, a := range l.Audience {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, a)
	}
	b = append(b, ']')
	b = appendOptional(b, "sub", l.Subject)
	b = appendNumber(b, "iat", l.IssuedAt)
	b = appendNumber(b, "nbf", l.NotBefore)
	b = appendNumber(b, "exp", l.Expires)
	b = appendText(append(b, ','), "jti", l.ID)
	b = appendNumber(b, "ver", l.Version)
	b = appendPair(b, "seq", l.Seq.Epoch, l.Seq.Counter)
	b = appendPair(b, "refresh", l.Refresh[0], l.Refresh[1])
	b = appendNumber(b, "stale", l.Stale)
	b = appendNumber(b, "due", l.Due)
	b = appendNumber(b, "degraded", l.Degraded)
	b = appendText(append(b, ','), "lease", l.Lease)
	b = appendText(append(b, ','), "pool", l.Pool)
	b = appendNumber(b, "units", l.Units)
	b = appendText(append(b, ','), "holder", l.Holder)
	b = appendOptional(b, "instance", l.Instance)
	b = appendNumber(b, "generation", l.Generation)
	b = appendOptional(b, "entry", l.Entry)
	if h := l.Head; h != nil {
		b = appendText(append(b, `,"head":{`...), "origin", h.Origin)
		b = appendNumber(b, "size", h.Size)
		b = append(appendText(append(b, ','), "root", h.Root), '}')
	}
	b = appendOptional(b, "nonce", l.Nonce)
	b = appendOptional(b, "node", l.Node)
	if l.Incarnation != 0 {
		b = appendNumber(b, "incarnation", l.Incarnation)
	}
	return append(b, '}'), true
}

// whole reports whether JSON represents all numbers of l exactly.
func (l Lease) whole() bool {
	for _, n := range [...]int64{l.IssuedAt, l.NotBefore, l.Expires, l.Version, l.Seq.Epoch, l.Seq.Counter, l.Refresh[0], l.Refresh[1],
		l.Stale, l.Due, l.Degraded, l.Units, l.Generation, l.Head.size(), l.Incarnation} {
		if n > MaxInt || n < -MaxInt {
			return false
		}
	}
	return true
}

// plain reports whether all texts of l can be written without escapes.
func (l Lease) plain() bool {
	for _, a := range l.Audience {
		if !plain(a) {
			return false
		}
	}
	if l.Head != nil && !(plain(l.Head.Origin) && plain(l.Head.Root)) {
		return false
	}
	for _, s := range [...]string{l.Issuer, l.Subject, l.ID, l.Lease, l.Pool, l.Holder, l.Instance, l.Entry, l.Nonce, l.Node} {
		if !plain(s) {
			return false
		}
	}
	return true
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (h *Head) size() int64 {
	if h == nil {
		return 0
	}
	return h.Size
}

func appendName(b []byte, name string) []byte {
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendText(b []byte, name, value string) []byte { return appendString(appendName(b, name), value) }

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(append(b, ','), name, value)
}

func appendNumber(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(append(b, ','), name), value, 10)
}

func appendPair(b []byte, name string, x, y int64) []byte {
	b = strconv.AppendInt(append(appendName(append(b, ','), name), '['), x, 10)
	return append(strconv.AppendInt(append(b, ','), y, 10), ']')
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
