package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// WitnessName is a file in the data folder. It remembers, outside the database, the last log heads
// that the database published.
const WitnessName = "witness.json"

// A Witness keeps the epoch and the last log heads. A database that is behind them was rolled back.
type Witness struct {
	Dir  string // "" keeps no witness
	mu   sync.Mutex
	last testimony
}

type testimony struct {
	Deployment string                          `json:"deployment"`
	Epoch      int64                           `json:"epoch"`
	Heads      map[licensing.Env]*license.Head `json:"heads"`
}

// Load reads the testimony. It returns a zero testimony if there is none.
func (w *Witness) Load() (testimony, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = testimony{}
	if w.Dir == "" {
		return w.last, nil
	}
	text, err := os.ReadFile(filepath.Join(w.Dir, WitnessName))
	if errors.Is(err, fs.ErrNotExist) {
		return w.last, nil
	}
	if err != nil {
		return testimony{}, fmt.Errorf("reading the witness: %w", err)
	}
	if err := json.Unmarshal(text, &w.last); err != nil {
		return testimony{}, fmt.Errorf("%s is damaged (%w): remove it if you are sure that the database is not an older copy", filepath.Join(w.Dir, WitnessName), err)
	}
	return w.last, nil
}

// Begin records a deployment and its current epoch.
func (w *Witness) Begin(deployment string, epoch int64, heads map[licensing.Env]*license.Head) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(testimony{deployment, epoch, heads})
}

// Save records heads if they have changed.
func (w *Witness) Save(heads map[licensing.Env]*license.Head) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	same := len(heads) == len(w.last.Heads)
	for env, h := range heads {
		old := w.last.Heads[env]
		same = same && old != nil && *old == *h
	}
	if same {
		return nil
	}
	return w.write(testimony{w.last.Deployment, w.last.Epoch, heads})
}

// write replaces the file with one that is synced to disk.
func (w *Witness) write(t testimony) error {
	if w.Dir == "" {
		w.last = t
		return nil
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(w.Dir, WitnessName+".*")
	if err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(w.Dir, WitnessName)); err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	d, err := os.Open(w.Dir)
	if err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	w.last = t
	return nil
}
