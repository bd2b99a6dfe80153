package cli

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsALineNowAndThenWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &cli{program: Program{Stderr: &out}}
		p := c.progress("license", 1000)
		p.skip(200)
		for range 30 {
			time.Sleep(time.Second)
			p.add(10)
		}
		p.end()
		want := "300 of 1000 licenses, 30%, about 1m10s left\n" +
			"400 of 1000 licenses, 40%, about 1m0s left\n" +
			"500 of 1000 licenses, 50%, about 50s left\n"
		if out.String() != want {
			t.Errorf("%q, not %q", out.String(), want)
		}
		out.Reset()
		c.flags.output = "json"
		time.Sleep(time.Minute)
		p.add(10)
		if out.Len() > 0 {
			t.Errorf("with --output json: %q", out.String())
		}
	})
}

func TestABarIsAsFullAsTheShareThatIsDone(t *testing.T) {
	for _, c := range []struct {
		done, total int
		want        string
	}{
		{0, 10, "[........................]"},
		{5, 10, "[############............]"},
		{10, 10, "[########################]"},
		{1, 1_000_000, "[........................]"},
	} {
		if got := bar(c.done, c.total); got != c.want {
			t.Errorf("%d of %d: %s", c.done, c.total, got)
		}
	}
	if got := progressText("license", 1, 1, 0); got != "1 of 1 license, 100%" {
		t.Error(got)
	}
}
