package copyhold

import "time"

// A moment is a time that another process can compare with its own: a boot-clock time, or a
// wall-clock time if the system does not name its boots.
type moment struct {
	Boot string        `json:"boot,omitempty"`
	At   time.Duration `json:"at,omitempty"`
	Wall int64         `json:"wall,omitempty"`
}

func (s system) moment() moment {
	if s.bootID == "" {
		return moment{Wall: s.now().Unix()}
	}
	return moment{Boot: s.bootID, At: s.boot()}
}

// ago returns how long ago m was. It returns false if that is not known: m is from another boot, or
// it is in the future because it was edited or the clock was set.
func (s system) ago(m moment) (time.Duration, bool) {
	if m == (moment{}) || m.Boot != s.bootID {
		return 0, false
	}
	d := s.boot() - m.At
	if s.bootID == "" {
		d = time.Duration(s.now().Unix()-m.Wall) * time.Second
	}
	return d, d >= 0
}

// within reports whether m was less than d ago.
func (s system) within(m moment, d time.Duration) bool {
	ago, known := s.ago(m)
	return known && ago < d
}

// later returns the later of two moments, as far as they can be compared.
func (s system) later(a, b moment) moment {
	since, known := s.ago(a)
	if ago, ok := s.ago(b); ok && (!known || ago < since) {
		return b
	}
	return a
}
