package copyhold_test

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const unit = "deploy/systemd/copyhold.service"

// maxExposure is the highest exposure that systemd-analyze may report for the unit, from 0
// (best) to 10 (worst).
const maxExposure = 2.0

func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("NOT checked: systemd-analyze is not installed")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for copyhold.service: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no exposure in: %s", out)
	}
	exposure, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || exposure > maxExposure {
		t.Errorf("the exposure is %s, more than %v: %v", found[1], maxExposure, err)
	}
}

// The hardening must not hide what the server needs to judge its clock.
func TestUnitLeavesTheClockReadable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(text), "")
	for _, hides := range []string{"ProcSubset=pid", "ProtectClock=yes"} {
		if strings.Contains(settings, hides) {
			t.Errorf("%s hides the boot id or whether the clock is synchronized", hides)
		}
	}
	if !strings.Contains(settings, "SystemCallFilter=@system-service adjtimex") {
		t.Error("the unit does not allow adjtimex, so the server can't find out whether the clock is synchronized")
	}
}
