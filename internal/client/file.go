package client

import (
	"io"
	"os"

	"copyhold.dev/sdk/license"
)

// MaxSmallFile is the maximum size of files with secrets, root sets and ceremonies, in bytes.
const MaxSmallFile = 1 << 20

// ReadFile reads a file of at most limit bytes. A wrong file, or one without an end, must not
// exhaust the machine's memory.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, Errorf(Usage, "%s is longer than %d bytes, so it is not the expected kind of file", name, limit)
	}
	return text, err
}

// ReadText reads a text file in any encoding that license.DecodeText accepts.
func ReadText(name string, limit int64) (string, error) {
	data, err := ReadFile(name, limit)
	if err != nil {
		return "", err
	}
	text, err := license.DecodeText(name, data)
	if err != nil {
		return "", Errorf(Usage, "%w", err)
	}
	return text, nil
}

// ReadRootSet reads a root set in the form that the server publishes.
func ReadRootSet(name string) ([]string, error) { return ReadSet(name, "root set") }

// ReadSet reads a root set or key set in the form that the server publishes.
func ReadSet(name, kind string) ([]string, error) {
	data, err := ReadFile(name, MaxSmallFile)
	if err != nil {
		return nil, err
	}
	set, err := license.DecodeSet(name, kind, data)
	if err != nil {
		return nil, Errorf(Usage, "%w; use a %s file written by copyhold signing-key", err, kind)
	}
	return set, nil
}
