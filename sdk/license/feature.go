package license

// Feature returns the feature that the license grants under a name in the given standing, and the
// decision. Full states grant Features, StateDegraded grants Fallback, and other states grant
// nothing. An absent list grants nothing. After its own end, a feature has the value that the
// document gives for that time. A feature that is off, 0, or empty is denied.
func (l *License) Feature(name string, s Standing, now int64) (Feature, Decision) {
	d := Decision{Outcome: Denied, Code: s.Code, Rule: "license.state", State: s.State, Next: string(s.Next), NextAt: s.At}
	set := l.Features
	switch {
	case s.State.Full():
		d.Rule = "license.features"
	case s.State == StateDegraded:
		d.Rule, set = "license.fallback", l.Fallback
	default:
		d.Reason = Reason(s.Code)
		return Feature{}, d
	}
	f, ok := set[name]
	if f.Until != 0 && max(now, l.IssuedAt) >= f.Until && !f.Then.IsZero() {
		f = Feature{Value: f.Then}
	}
	switch {
	case !ok || !f.Value.On():
		d.Code, d.Reason = CodeFeatureAbsent, "the license does not grant the feature "+name
		if s.State == StateDegraded {
			d.Code, d.Reason = s.Code, "the fallback does not grant the feature "+name+": "+Reason(s.Code)
		}
		return Feature{}, d
	case f.Until != 0 && max(now, l.IssuedAt) >= f.Until:
		d.Code, d.Reason = CodeFeatureEnded, "the feature "+name+" has ended"
		return Feature{}, d
	}
	d.Outcome, d.Reason = Allowed, Reason(s.Code)
	if s.State == StateDegraded {
		d.Code = CodeFallback
	}
	if f.Until != 0 && (d.NextAt == 0 || f.Until < d.NextAt) {
		d.Next, d.NextAt = CodeFeatureEnded, f.Until
	}
	return f, d
}

// Reason returns the text for a code of the ladder.
func Reason(code string) string {
	switch code {
	case CodeOK:
		return "the license is valid"
	case CodeStale:
		return "the license is overdue for a refresh"
	case CodeGrace:
		return "no server was reached for a long time; the license is in its offline grace"
	case CodeRenewalGrace:
		return "the term has ended; the license is in its renewal grace"
	case CodeDegraded:
		return "no server was reached for too long; the fallback applies"
	case CodeExpired:
		return "the license document has expired"
	case CodeNotStarted:
		return "the license has not started yet"
	case CodeTermEnded:
		return "the term has ended"
	case CodeSuspended:
		return "the vendor has suspended the license"
	case CodeRevoked:
		return "the vendor has revoked the license"
	case CodeNotMaintained:
		return "this build was released after maintenance ended"
	case CodeBindingMismatch:
		return "the license is bound to another device"
	case CodeClock:
		return "the clock of this machine is in doubt"
	case CodeNoLicense:
		return "there is no license"
	}
	return code
}
