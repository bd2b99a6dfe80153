// Prover checks what the log hands out with nothing but the standard library
// and the published formats (RFC 6962, C2SP signed-note, checkpoint, tlog-proof,
// tlog-witness). It exits with 0 if the proof holds.
//
//	prover inclusion KEY ENTRY-FILE PROOF-FILE
//	prover consistency KEY OLD-ROOT-BASE64 PROOF-FILE
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: prover inclusion|consistency KEY ENTRY-FILE|OLD-ROOT PROOF-FILE")
	}
	proof, err := os.ReadFile(args[3])
	if err != nil {
		return err
	}
	top, signed, ok := strings.Cut(string(proof), "\n\n")
	if !ok {
		return errors.New("no empty line before the checkpoint")
	}
	size, root, err := checkpoint(signed, args[1])
	if err != nil {
		return err
	}
	lines := strings.Split(top, "\n")
	if args[0] == "inclusion" {
		entry, err := os.ReadFile(args[2])
		if err != nil {
			return err
		}
		return inclusion(lines, entry, size, root)
	}
	return consistency(lines, args[2], size, root)
}

// checkpoint verifies a signed checkpoint with a signed-note verifier key.
func checkpoint(signed, key string) (uint64, []byte, error) {
	text, signatures, ok := strings.Cut(signed, "\n\n")
	if !ok {
		return 0, nil, errors.New("checkpoint has no signature")
	}
	text += "\n"
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		return 0, nil, errors.New("key is not name+hash+key")
	}
	name := parts[0]
	public, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(public) != 33 || public[0] != 1 {
		return 0, nil, errors.New("key is not Ed25519")
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	if fmt.Sprintf("%08x", sum[:4]) != parts[1] {
		return 0, nil, errors.New("key hash is wrong")
	}
	for line := range strings.Lines(signatures) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "\u2014" || fields[1] != name {
			continue
		}
		sig, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || len(sig) != 4+64 || binary.BigEndian.Uint32(sig) != binary.BigEndian.Uint32(sum[:4]) {
			continue
		}
		if ed25519.Verify(public[1:], []byte(text), sig[4:]) {
			return head(text, name)
		}
	}
	return 0, nil, errors.New("no valid signature")
}

func head(text, origin string) (uint64, []byte, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return 0, nil, errors.New("checkpoint is not origin, size, root")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return 0, nil, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	return size, root, err
}

// inclusion is RFC 9162, section 2.1.3.2.
func inclusion(lines []string, entry []byte, size uint64, root []byte) error {
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	number, _ := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseUint(number, 10, 63)
	if err != nil || index >= size {
		return errors.New("no index below the size")
	}
	path, err := decode(lines[2:])
	if err != nil {
		return err
	}
	fn, sn := index, size-1
	r := hash(0, entry)
	for _, p := range path {
		if sn == 0 {
			return errors.New("proof is too long")
		}
		if fn&1 == 1 || fn == sn {
			r = hash(1, p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = hash(1, r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || !bytes.Equal(r, root) {
		return errors.New("the entry is not in the tree")
	}
	return nil
}

// consistency is RFC 9162, section 2.1.4.2.
func consistency(lines []string, oldRoot string, size uint64, root []byte) error {
	number, _ := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(number, 10, 63)
	if err != nil || old == 0 || old > size {
		return errors.New("no old size")
	}
	first, err := base64.StdEncoding.DecodeString(oldRoot)
	if err != nil {
		return err
	}
	path, err := decode(lines[1:])
	if err != nil {
		return err
	}
	if old == size {
		if len(path) != 0 || !bytes.Equal(first, root) {
			return errors.New("same size, another root")
		}
		return nil
	}
	if old&(old-1) == 0 {
		path = append([][]byte{first}, path...)
	}
	if len(path) == 0 {
		return errors.New("proof is empty")
	}
	fn, sn := old-1, size-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, c := range path[1:] {
		if sn == 0 {
			return errors.New("proof is too long")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = hash(1, c, fr), hash(1, c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = hash(1, sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || !bytes.Equal(fr, first) || !bytes.Equal(sr, root) {
		return errors.New("the new tree does not continue the old one")
	}
	return nil
}

func decode(lines []string) ([][]byte, error) {
	var hashes [][]byte
	for _, line := range lines {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != sha256.Size {
			return nil, fmt.Errorf("not a hash: %q", line)
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

func hash(prefix byte, parts ...[]byte) []byte {
	sum := sha256.Sum256(append([]byte{prefix}, bytes.Join(parts, nil)...))
	return sum[:]
}
