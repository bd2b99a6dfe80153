package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// exportVersion is the version of the export's lines.
const exportVersion = 1

// An exportLine is one line of an export. The first line has Version, Key and Head.
// Tiles follow, then rows without a place if there are any, then rows in the order
// of the log.
type exportLine struct {
	Version int             `json:"copyhold_log,omitempty"`
	Key     string          `json:"key,omitempty"`
	Head    string          `json:"head,omitempty"`
	Tile    *Tile           `json:"tile,omitempty"`
	Stray   string          `json:"stray,omitempty"`
	ID      string          `json:"row,omitempty"`
	First   int64           `json:"first,omitempty"`
	Count   int64           `json:"count,omitempty"`
	Body    json.RawMessage `json:"entries,omitempty"`
}

// Export writes the log as JSON lines, complete enough to be verified offline.
func Export(w io.Writer, l Log) error {
	head, err := ParseHead(l.Head)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(w, 1<<16)
	out := json.NewEncoder(buffer)
	if err := out.Encode(exportLine{Version: exportVersion, Key: l.Key, Head: l.Head}); err != nil {
		return fmt.Errorf("writing log export: %w", err)
	}
	for level := 0; head.Size>>(tileHeight*level) > 0; level++ {
		hashes := head.Size >> (tileHeight * level)
		for n := int64(0); n*tileWidth < hashes; n++ {
			data, err := l.Tile(level, n)
			if err != nil {
				return fmt.Errorf("reading tile %d/%d: %w", level, n, err)
			}
			if err := out.Encode(exportLine{Tile: &Tile{level, n, data}}); err != nil {
				return fmt.Errorf("writing log export: %w", err)
			}
		}
	}
	for _, id := range l.Strays {
		if err := out.Encode(exportLine{Stray: id}); err != nil {
			return fmt.Errorf("writing log export: %w", err)
		}
	}
	for row, err := range l.Rows {
		if err != nil {
			return fmt.Errorf("reading log rows: %w", err)
		}
		if body, err := Unpack(row.Body); err == nil {
			row.Body = body
		}
		if len(row.Body) > 0 && !json.Valid(row.Body) { // a damaged row is exported as a text, which counts as damaged there too
			row.Body, _ = json.Marshal(string(row.Body))
		}
		if err := out.Encode(exportLine{ID: row.ID, First: row.First, Count: row.Count, Body: row.Body}); err != nil {
			return fmt.Errorf("writing log export: %w", err)
		}
	}
	return buffer.Flush()
}

// OpenExport reads an export's head and tiles and keeps 32 bytes for each entry in
// memory. It reads the rows from r on demand, once. The key in the export is only
// a claim, so verify with a key from another source if you can.
func OpenExport(r io.Reader) (Log, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	first, err := readLine(in)
	if err != nil || first.Version != exportVersion {
		return Log{}, fmt.Errorf("not a log export of version %d", exportVersion)
	}
	type place struct {
		level int
		n     int64
	}
	tiles := map[place][]byte{}
	var strays []string
	line, err := readLine(in)
	for ; err == nil && (line.Tile != nil || line.Stray != ""); line, err = readLine(in) {
		if line.Tile != nil {
			tiles[place{line.Tile.Level, line.Tile.N}] = line.Tile.Hashes
		} else {
			strays = append(strays, line.Stray)
		}
	}
	return Log{
		Key: first.Key, Head: first.Head,
		Tile:   func(level int, n int64) ([]byte, error) { return tiles[place{level, n}], nil },
		Strays: strays, Rows: exportRows(in, line, err),
	}, nil
}

// exportRows yields the line that was already read and those after it.
func exportRows(in *bufio.Reader, line exportLine, err error) iter.Seq2[PlacedRow, error] {
	return func(yield func(PlacedRow, error) bool) {
		for ; err == nil; line, err = readLine(in) {
			if !yield(PlacedRow{line.ID, line.First, line.Count, line.Body}, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(PlacedRow{}, err)
		}
	}
}

// readLine reads one line. A line that is not JSON becomes a row without a place,
// so that verification can report its position.
func readLine(in *bufio.Reader) (exportLine, error) {
	text, err := in.ReadBytes('\n')
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return exportLine{}, fmt.Errorf("reading log export: %w", err)
	case len(text) == 0:
		return exportLine{}, io.EOF
	}
	var line exportLine
	if damage := json.Unmarshal(text, &line); damage != nil {
		line = exportLine{First: -1}
	}
	return line, nil
}
