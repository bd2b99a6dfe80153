package api

import (
	"context"
	"sync"
	"time"
)

// slots is how many groups the streams are divided into. The groups are pinged in turn.
const slots = 20

// A wheel pings all streams, each once per pingEvery, with one timer. It also ends them when the
// server stops. Its goroutine runs while there are streams.
type wheel struct {
	stopping context.Context

	mu      sync.Mutex
	slots   [slots]map[*stream]struct{}
	streams int
	added   int // ever
	turning bool
}

func newWheel(stopping context.Context) *wheel {
	w := &wheel{stopping: stopping}
	for i := range w.slots {
		w.slots[i] = map[*stream]struct{}{}
	}
	return w
}

// add puts a stream on the wheel.
func (w *wheel) add(st *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st.slot = w.added % slots
	w.added++
	w.slots[st.slot][st] = struct{}{}
	w.streams++
	if !w.turning {
		w.turning = true
		go w.turn()
	}
}

// remove takes a stream off the wheel, if it is on it.
func (w *wheel) remove(st *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, on := w.slots[st.slot][st]; on {
		delete(w.slots[st.slot], st)
		w.streams--
	}
}

func (w *wheel) turn() {
	tick := time.NewTicker(pingEvery / slots)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % slots {
		select {
		case <-tick.C:
			if !w.ping(slot) {
				return
			}
		case <-w.stopping.Done():
			w.stop()
			return
		}
	}
}

// ping pings the streams of a slot, and reports whether there are streams at all.
func (w *wheel) ping(slot int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for st := range w.slots[slot] {
		st.wake(ping)
	}
	w.turning = w.streams > 0
	return w.turning
}

// stop ends all streams. A stream that is added later turns the wheel again, and ends.
func (w *wheel) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.slots {
		for st := range of {
			st.wake(stopping)
		}
	}
	w.turning = false
}
