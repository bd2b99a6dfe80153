package api_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/store/storetest"
)

// connections is how many the benchmarks keep busy.
const connections = 64

// BenchmarkValidate compares POST /v1/validate with a bare net/http handler that
// decodes 400 bytes of JSON and answers with as many bytes, signed or not. The
// bounds, of requests a second, are 0.6 for each pair; `make bench` measures them
// through the real program.
func BenchmarkValidate(b *testing.B) {
	d := newDeployment(b, storetest.SQLite(b), everyModel)
	o := d.ask("POST", "/v1/validate", members{"product": "lathe", "nonce": nonce})
	var a answered
	o.decode(b, &a)
	_, key, err := ed25519.GenerateKey(nil)
	d.check(err)
	bare := httptest.NewServer(bareHandler(key, len(a.Reply)))
	defer bare.Close()
	body := `{"product":"lathe","holder":{"kind":"user","id":"user-1"},"version":"1.2.3"`
	credential := "License " + d.key
	for _, c := range []struct{ name, url, path, body string }{
		{"bare-signed", bare.URL, "/signed", bareBody()},
		{"nonce", d.url, "/v1/validate", body + `,"nonce":"abcdefghijklmnopqrstuv"}`},
		{"bare-plain", bare.URL, "/plain", bareBody()},
		{"no-nonce", d.url, "/v1/validate", body + `}`},
	} {
		b.Run(c.name, func(b *testing.B) { drive(b, c.url, c.path, credential, c.body) })
	}
}

// drive sends b.N requests over 64 connections.
func drive(b *testing.B, url, path, credential, body string) {
	host := strings.TrimPrefix(url, "http://")
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, host, credential, len(body), body)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var workers sync.WaitGroup
	for range connections {
		workers.Go(func() {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 8<<10)
			for left.Add(-1) >= 0 {
				if err := exchange(conn, r, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func exchange(conn net.Conn, r *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			return fmt.Errorf("%s", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	_, err := r.Discard(length)
	return err
}

type bareRequest struct {
	RequestID string            `json:"request_id"`
	Nonce     string            `json:"nonce"`
	Pool      string            `json:"pool"`
	Units     int64             `json:"units"`
	Holder    map[string]string `json:"holder"`
	Labels    map[string]string `json:"labels"`
}

type bareReply struct {
	Issuer   string `json:"iss"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	Nonce    string `json:"nonce"`
	Pad      string `json:"pad"`
}

type bareAnswer struct {
	Lease string `json:"lease"`
}

func bareBody() string {
	q := bareRequest{RequestID: "req_01jd0000000000000000000000", Nonce: "abcdefghijklmnopqrstuv", Pool: "seats", Units: 1,
		Holder: map[string]string{"kind": "user", "id": "user-000001"}, Labels: map[string]string{}}
	for i := 0; ; i++ {
		text, _ := json.Marshal(q)
		if len(text) >= 400 {
			return string(text)
		}
		q.Labels[fmt.Sprint("label", i)] = strings.Repeat("v", min(20, 400-len(text)))
	}
}

// bareHandler decodes, encodes and signs, and does nothing else.
func bareHandler(key ed25519.PrivateKey, size int) http.Handler {
	answer := func(sign bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var q bareRequest
			if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&q); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			payload, _ := json.Marshal(bareReply{"urn:copyhold:bare", time.Now().Unix(), q.RequestID, q.Nonce, strings.Repeat("x", max(0, (size-330)*3/4))})
			input := strings.Repeat("h", 120) + "." + base64.RawURLEncoding.EncodeToString(payload)
			signature := make([]byte, ed25519.SignatureSize)
			if sign {
				signature = ed25519.Sign(key, []byte(input))
			}
			text, _ := json.Marshal(bareAnswer{input + "." + base64.RawURLEncoding.EncodeToString(signature)})
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(text)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("POST /signed", answer(true))
	mux.Handle("POST /plain", answer(false))
	return mux
}
