package ledger

import (
	"sync"
	"time"
)

// repeatTrouble is how often the server's log repeats that a background task fails.
const repeatTrouble = time.Minute

// troubles are the background tasks that currently fail. It is safe for concurrent use.
type troubles struct {
	mu     sync.Mutex
	byTask map[string]*trouble
}

type trouble struct {
	since, said time.Time
	times       int
}

// Task records the result of one run of a background task. The server's log reports when the task
// begins to fail, every minute while it fails, and when it works again. Fewer lines keep the log
// from filling a disk.
func (l *Ledger) Task(name string, err error) {
	l.Metrics.Task(name, err)
	if l.Log == nil {
		return
	}
	l.troubles.mu.Lock()
	defer l.troubles.mu.Unlock()
	t, now := l.troubles.byTask[name], l.Now()
	switch {
	case err == nil && t != nil:
		delete(l.troubles.byTask, name)
		l.Log.Info("background task works again", "task", name, "failed_since", t.since.UTC(), "times", t.times)
	case err != nil && t == nil:
		if l.troubles.byTask == nil {
			l.troubles.byTask = map[string]*trouble{}
		}
		l.troubles.byTask[name] = &trouble{since: now, said: now, times: 1}
		l.Log.Error("background task failed", "task", name, "error", err)
	case err != nil:
		t.times++
		if now.Sub(t.said) >= repeatTrouble {
			t.said = now
			l.Log.Error("background task still fails", "task", name, "error", err, "failed_since", t.since.UTC(), "times", t.times)
		}
	}
}
