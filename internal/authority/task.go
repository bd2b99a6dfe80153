package authority

import (
	"sync"
	"time"
)

// repeatTrouble is how often the log repeats that a background task fails.
const repeatTrouble = time.Minute

// troubles are the background tasks that fail now. It is safe for concurrent use.
type troubles struct {
	mu     sync.Mutex
	byTask map[string]*trouble
}

type trouble struct {
	since, said time.Time
	times       int
}

// task notes how a run of a background task went. The log tells that it began to fail,
// again each minute while it does, and that it works again: a full disk is not filled
// with lines about itself.
func (a *Authority) task(name string, err error) {
	a.metrics.Task(name, err)
	if a.log == nil {
		return
	}
	a.troubles.mu.Lock()
	defer a.troubles.mu.Unlock()
	t, now := a.troubles.byTask[name], a.now()
	switch {
	case err == nil && t != nil:
		delete(a.troubles.byTask, name)
		a.log.Info("background task works again", "task", name, "failed_since", t.since.UTC(), "times", t.times)
	case err != nil && t == nil:
		if a.troubles.byTask == nil {
			a.troubles.byTask = map[string]*trouble{}
		}
		a.troubles.byTask[name] = &trouble{since: now, said: now, times: 1}
		a.log.Error("background task failed", "task", name, "error", err)
	case err != nil:
		t.times++
		if now.Sub(t.said) >= repeatTrouble {
			t.said = now
			a.log.Error("background task still fails", "task", name, "error", err, "failed_since", t.since.UTC(), "times", t.times)
		}
	}
}
