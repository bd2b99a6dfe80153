package signing

import (
	"fmt"
	"log/slog"
)

const redacted = "[secret]"

// A Secret is text that appears as [secret] wherever it is printed,
// logged or encoded. Only Reveal returns it.
type Secret struct{ text []byte }

// NewSecret returns a secret of text, which it copies.
func NewSecret(text string) Secret { return Secret{[]byte(text)} }

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s.text) }

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return len(s.text) == 0 }

// Format hides the text from every formatting verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String hides the text.
func (s Secret) String() string { return redacted }

// LogValue hides the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
