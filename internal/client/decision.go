package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// DenialText writes a decision for people: its reason and, on separate lines, who holds the
// requested units and when a unit frees up.
func DenialText(d license.Decision) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s)", d.Reason, d.Code)
	for _, h := range d.Holders {
		fmt.Fprintf(&text, "\n  %s", h.Holder)
		if h.Name != "" {
			fmt.Fprintf(&text, " (%s)", h.Name)
		}
		fmt.Fprintf(&text, " holds %d", h.Units)
		if h.Instance != "" {
			fmt.Fprintf(&text, " on %s", h.Instance)
		}
		if h.Since > 0 {
			fmt.Fprintf(&text, " since %s", timeText(h.Since))
		}
		if h.FreeAt > 0 {
			fmt.Fprintf(&text, ", until %s at the latest", timeText(h.FreeAt))
		}
	}
	if d.FreeAt > 0 {
		fmt.Fprintf(&text, "\n  a unit frees up by %s%s", timeText(d.FreeAt), away(d.FreeAt))
	}
	if d.NextAt > 0 && d.Next != "" {
		fmt.Fprintf(&text, "\n  next: %s at %s%s", d.Next, timeText(d.NextAt), away(d.NextAt))
	}
	if d.RequestID != "" {
		fmt.Fprintf(&text, "\n  request %s; the vendor can explain it with \"copyhold why\"", d.RequestID)
	}
	return text.String()
}

func timeText(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// away returns how far ahead a time is, in whole minutes if that is a minute or more.
func away(seconds int64) string {
	left := time.Until(time.Unix(seconds, 0))
	switch {
	case left < time.Second:
		return ""
	case left < time.Minute:
		return fmt.Sprintf(", in %ds", int64(left.Seconds()))
	}
	return ", in " + minutesText(left)
}

// minutesText writes a duration in days, hours and minutes.
func minutesText(d time.Duration) string {
	var text strings.Builder
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if n := d / unit.size; n > 0 {
			fmt.Fprintf(&text, "%d%s", n, unit.name)
		}
		d %= unit.size
	}
	return text.String()
}

// DecisionOf returns the decision in an answer.
func DecisionOf(body json.RawMessage) (license.Decision, error) {
	var d license.Decision
	return d, json.Unmarshal(Member(body, "decision"), &d)
}

// Member returns one member of an answer's object, or nil.
func Member(text json.RawMessage, name string) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	return members[name]
}
