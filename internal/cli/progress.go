package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
)

const (
	barWidth = 24
	// barEvery and lineEvery are how often progress is shown on a terminal and elsewhere.
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

// A progress shows on standard error how far a long command has come: a bar on a terminal, or a
// line now and then. With --output json and no terminal, it shows nothing. It is safe for
// concurrent use.
type progress struct {
	c     *cli
	noun  string // for example license
	total int
	begun time.Time

	mu    sync.Mutex
	first int // how many were done before the command began
	done  int
	shown time.Time
}

// progress begins to show how many of total, at least 1, are done.
func (c *cli) progress(noun string, total int) *progress {
	now := time.Now()
	return &progress{c: c, noun: noun, total: total, begun: now, shown: now}
}

// add reports that n more are done.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.show(func() string {
		text := progressText(p.noun, p.done, p.total, left(p.done-p.first, p.total-p.done, time.Since(p.begun)))
		if isTerminal(p.c.program.Stderr) {
			return bar(p.done, p.total) + " " + text
		}
		return text
	})
}

// show shows text, unless it has shown one a short time ago.
func (p *progress) show(text func() string) {
	terminal := isTerminal(p.c.program.Stderr)
	now := time.Now()
	if wait := now.Sub(p.shown); terminal && wait < barEvery || !terminal && (wait < lineEvery || p.c.asJSON()) {
		return
	}
	p.shown = now
	if terminal {
		fmt.Fprintf(p.c.program.Stderr, "\r\x1b[K%s", legible(text()))
		return
	}
	p.c.sayf("%s", text())
}

// skip reports that n more were done before the command began, so that they do not count for the
// estimate.
func (p *progress) skip(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.first += n
}

// end removes the bar, so that the next line has its place.
func (p *progress) end() {
	if isTerminal(p.c.program.Stderr) {
		fmt.Fprint(p.c.program.Stderr, "\r\x1b[K")
	}
}

// left estimates how long the remaining ones take, from how long the ones done so far took.
func left(done, remaining int, took time.Duration) time.Duration {
	if done <= 0 {
		return 0
	}
	return time.Duration(float64(took) / float64(done) * float64(remaining))
}

func progressText(noun string, done, total int, left time.Duration) string {
	text := fmt.Sprintf("%d of %s, %d%%", done, licensing.Counted(total, noun), done*100/total)
	if left >= time.Second {
		text += ", about " + left.Round(time.Second).String() + " left"
	}
	return text
}

// bar returns a bar of barWidth characters, as full as the share that is done.
func bar(done, total int) string {
	full := min(barWidth, done*barWidth/total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}
