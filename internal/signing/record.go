package signing

import (
	"io"
	"sync"
)

// A record is the destination of each signed document before its receiver gets it.
type record struct {
	mu sync.Mutex
	w  io.Writer
}

// RecordTo makes the ring write each document that it signs from now on to w, one on
// each line, before the document is issued. The result is a record beside the database
// to compare with the log. A document that cannot be recorded is not issued.
func (r *Ring) RecordTo(w io.Writer) { r.record.Store(&record{w: w}) }

func (c *record) add(compact string) error {
	line := make([]byte, 0, len(compact)+1)
	line = append(append(line, compact...), '\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.w.Write(line)
	return err
}
