package license

import (
	"bytes"
	"encoding/base64"
)

const (
	armorBegin = "-----BEGIN COPYHOLD LICENSE-----"
	armorEnd   = "-----END COPYHOLD LICENSE-----"
	armorLine  = 64 // characters
)

// Armor wraps a license file for mail: lines of base64 between BEGIN and END.
func Armor(data []byte) []byte {
	text := base64.StdEncoding.EncodeToString(data)
	var out bytes.Buffer
	out.WriteString(armorBegin + "\n")
	for len(text) > 0 {
		n := min(armorLine, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString(armorEnd + "\n")
	return out.Bytes()
}

// Dearmor finds the one armored license file in a text. It ignores text around the file, and the
// spaces and quote marks that mail programs put around its lines.
func Dearmor(text []byte) ([]byte, error) {
	if len(text) > MaxBundle {
		return nil, fault(ErrEncoding, "longer than %d bytes", MaxBundle)
	}
	var body []byte
	begun, ended := false, false
	for line := range bytes.Lines(text) {
		line = bytes.Trim(line, "> \t\r\n")
		switch {
		case string(line) == armorBegin:
			if begun {
				return nil, fault(ErrEncoding, "more than one BEGIN line")
			}
			begun = true
		case string(line) == armorEnd:
			if !begun || ended {
				return nil, fault(ErrEncoding, "END line without a BEGIN line")
			}
			ended = true
		case begun && !ended:
			body = append(body, line...)
		}
	}
	if !ended {
		return nil, fault(ErrEncoding, "no END line")
	}
	out, err := base64.StdEncoding.Strict().AppendDecode(nil, body)
	if err != nil {
		return nil, fault(ErrEncoding, "armor is not base64")
	}
	return out, nil
}
