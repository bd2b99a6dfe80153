package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// measureValidate compares POST /v1/validate with the bare handler. With a nonce, the server
// signs a reply; without one, it reuses the signed document.
func measureValidate(ctx context.Context, s settings) ([]row, error) {
	m, err := s.serve(ctx, "", 100)
	if err != nil {
		return nil, err
	}
	defer m.end()
	size, err := replySize(m)
	if err != nil {
		return nil, err
	}
	bare, err := s.yardstick(ctx, size)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	signed, err := againstBare(ctx, s, "validate with nonce", 0.6, 0, "requests/s",
		load{m.process, validateTurn(m.credential, true)}, load{bare, bareTurn("/signed")}, fmt.Sprintf("%d connections, reply of %d bytes.", connections, size))
	if err != nil {
		return nil, err
	}
	plain, err := againstBare(ctx, s, "validate without nonce", 0.6, 0, "requests/s",
		load{m.process, validateTurn(m.credential, false)}, load{bare, bareTurn("/plain")}, "the yardstick does the same without the signature.")
	return append(signed, plain...), err
}

func validateBody(nonce bool) []byte {
	body := map[string]any{"product": "lathe", "holder": map[string]string{"kind": "user", "id": "user-1"}, "version": "1.2.3"}
	if nonce {
		body["nonce"] = "abcdefghijklmnopqrstuv"
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	return data
}

func validateTurn(credential string, nonce bool) func(int, *client, func(time.Duration)) error {
	body := validateBody(nonce)
	return func(_ int, c *client, note func(time.Duration)) error {
		begin := time.Now()
		status, answer, err := c.do(http.MethodPost, "/v1/validate", credential, body)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("validate: status %d: %s", status, answer)
		}
		note(time.Since(begin))
		return nil
	}
}

func replySize(m *measured) (int, error) {
	c, err := dial(m.addr)
	if err != nil {
		return 0, err
	}
	defer c.close()
	status, answer, err := c.do(http.MethodPost, "/v1/validate", m.credential, validateBody(true))
	if err != nil {
		return 0, err
	}
	var out struct {
		Reply string `json:"reply"`
	}
	if err := json.Unmarshal(answer, &out); err != nil || out.Reply == "" {
		return 0, fmt.Errorf("validate with a nonce: status %d, but no reply: %s", status, answer)
	}
	return len(out.Reply), nil
}
