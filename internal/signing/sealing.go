package signing

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"

	"copyhold.dev/sdk/license"
)

// A SealingKey seals private keys for storage. It is an age X25519
// identity and is safe for concurrent use.
type SealingKey struct{ identity *age.X25519Identity }

// NewSealingKey makes a sealing key.
func NewSealingKey() (*SealingKey, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("making a sealing key: %w", err)
	}
	return &SealingKey{id}, nil
}

// ParseSealingKey reads an age secret key, either by itself or in the text of a file that
// Text or age-keygen wrote. It ignores empty lines and lines that begin with #. Some
// secret stores turn line breaks into spaces; the key is then the last word of a
// comment that names its public key.
func ParseSealingKey(s Secret) (*SealingKey, error) {
	text := strings.TrimSpace(strings.TrimPrefix(s.Reveal(), "\ufeff"))
	if text == "" {
		return nil, errors.New("the sealing key is empty")
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return parseSealingKey(line)
		}
	}
	words := strings.Fields(text)
	key, err := parseSealingKey(words[len(words)-1])
	if err == nil && !strings.Contains(text, key.identity.Recipient().String()) {
		return nil, errors.New("the sealing key is in a comment; remove the # before it")
	}
	return key, err
}

func parseSealingKey(text string) (*SealingKey, error) {
	id, err := age.ParseX25519Identity(text)
	if err != nil { // the error from age would quote the text
		return nil, errors.New("the sealing key is not an age X25519 secret key (AGE-SECRET-KEY-1...)")
	}
	return &SealingKey{id}, nil
}

// Recipient returns the public part, an age recipient.
func (k *SealingKey) Recipient() age.Recipient { return k.identity.Recipient() }

// Identity returns the private part, which opens data that was sealed to Recipient.
func (k *SealingKey) Identity() age.Identity { return k.identity }

// Text returns the key in the form of a key file.
func (k *SealingKey) Text() Secret {
	return NewSecret("# public key: " + k.identity.Recipient().String() + "\n" + k.identity.String() + "\n")
}

// Format hides the key from every formatting verb.
func (k *SealingKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Seal returns plain sealed, in base64.
func (k *SealingKey) Seal(plain []byte) (string, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.Recipient())
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// Open returns what Seal sealed.
func (k *SealingKey) Open(sealed string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("opening a sealed key: %w", err)
	}
	r, err := age.Decrypt(bytes.NewReader(data), k.identity)
	if other := (*age.NoIdentityMatchError)(nil); errors.As(err, &other) {
		return nil, errors.New("the data was sealed with a different sealing key; restore that key")
	}
	if err != nil {
		return nil, fmt.Errorf("opening a sealed key: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("opening a sealed key: %w", err)
	}
	return plain, nil
}

// MAC returns an authentication code for data that only an owner of the sealing key can
// make (HMAC-SHA-256 under a key derived from it).
func (k *SealingKey) MAC(data []byte) []byte {
	derived, err := hkdf.Key(sha256.New, []byte(k.identity.String()), nil, "copyhold/v1/mac", sha256.Size)
	if err != nil {
		panic(err) //nolint:forbidigo // only for a length that HKDF does not support
	}
	mac := hmac.New(sha256.New, derived)
	mac.Write(data)
	return mac.Sum(nil)
}

// CheckMAC reports whether MAC made mac for data.
func (k *SealingKey) CheckMAC(data, mac []byte) bool { return hmac.Equal(k.MAC(data), mac) }

// A SealingSource is the origin of the sealing key: the value, or otherwise the file.
type SealingSource struct {
	Value Secret
	File  string
}

// Load reads the sealing key. If there is no value, the file does not exist and
// create is set, Load writes a new key to the file, which only its owner can read.
func (s SealingSource) Load(create bool) (*SealingKey, error) {
	if !s.Value.IsZero() {
		return ParseSealingKey(s.Value)
	}
	if s.File == "" {
		return nil, errors.New("no sealing key is given")
	}
	key, err := readSealingKey(s.File)
	if errors.Is(err, fs.ErrNotExist) && create {
		return createSealingKey(s.File)
	}
	return key, err
}

func readSealingKey(path string) (*SealingKey, error) {
	text, err := ReadKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the sealing key: %w", err)
	}
	return ParseSealingKey(text)
}

func createSealingKey(path string) (*SealingKey, error) {
	key, err := NewSealingKey()
	if err != nil {
		return nil, err
	}
	if err := WriteKeyFile(path, key.Text()); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process wrote it first
			return readSealingKey(path)
		}
		return nil, fmt.Errorf("writing the sealing key: %w", err)
	}
	return key, nil
}

// ReadKeyFile reads a file with a secret. It refuses a file that anyone except its
// owner can read or write.
func ReadKeyFile(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Secret{}, err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return Secret{}, fmt.Errorf("%s has mode %04o; only its owner may have access; run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return Secret{}, err
	}
	text, err := license.DecodeText(path, data)
	return NewSecret(text), err
}

// WriteKeyFile writes a secret to a new file of mode 0600 and syncs it. It
// fails with fs.ErrExist if the file exists. It never leaves a partial file.
func WriteKeyFile(path string, s Secret) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(s.text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
