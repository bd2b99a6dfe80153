package licensing

import (
	"testing"
	"time"
)

func TestEventsSayTheirVersionAndRefuseWhatCannotBeWritten(t *testing.T) {
	e, err := NewEvent(LicenseIssued, "production", time.Unix(1, 0), "token tok_1", map[string]int{"seats": 5})
	if err != nil || e.Version != 1 || string(e.Data) != `{"seats":5}` {
		t.Fatalf("NewEvent = %+v, %v", e, err)
	}
	if _, err := NewEvent(LicenseIssued, "production", time.Time{}, "", func() {}); CodeOf(err) != Internal {
		t.Fatalf("an event with a function as data: %v", err)
	}
}
