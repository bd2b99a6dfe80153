package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// yardstickRequest is the 400-byte body that the bare handlers decode.
type yardstickRequest struct {
	RequestID string            `json:"request_id"`
	Nonce     string            `json:"nonce"`
	Pool      string            `json:"pool"`
	Units     int64             `json:"units"`
	Holder    yardstickHolder   `json:"holder"`
	Instance  string            `json:"instance"`
	Labels    map[string]string `json:"labels"`
}

type yardstickHolder struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// yardstickReply has the members of a lease and is padded to the size of one.
type yardstickReply struct {
	Issuer   string   `json:"iss"`
	Audience []string `json:"aud"`
	Subject  string   `json:"sub"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
	Pool     string   `json:"pool"`
	Units    int64    `json:"units"`
	Holder   string   `json:"holder"`
	Nonce    string   `json:"nonce"`
	Pad      string   `json:"pad"`
}

type yardstickAnswer struct {
	Lease string `json:"lease"`
}

// serveYardstick runs the bare handlers until a signal: /signed decodes,
// encodes and signs, /plain does the same without the signature. Size is the
// length in bytes of the compact document that they answer with.
func serveYardstick(addr string, size int) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /signed", func(w http.ResponseWriter, r *http.Request) { answerYardstick(w, r, key, size) })
	mux.HandleFunc("POST /plain", func(w http.ResponseWriter, r *http.Request) { answerYardstick(w, r, nil, size) })
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answerYardstick(w http.ResponseWriter, r *http.Request, key ed25519.PrivateKey, size int) {
	var q yardstickRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now().Unix()
	reply := yardstickReply{
		Issuer: "urn:copyhold:yardstick:production", Audience: []string{"lathe"}, Subject: q.RequestID,
		IssuedAt: now, Expires: now + 900, ID: q.RequestID, Pool: q.Pool, Units: q.Units, Holder: q.Holder.ID, Nonce: q.Nonce,
	}
	const bare = 420 // approximate size of a compact reply without padding
	if pad := (size - bare) * 3 / 4; pad > 0 {
		reply.Pad = strings.Repeat("x", pad)
	}
	payload, err := json.Marshal(reply)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	const header = `{"alg":"EdDSA","kid":"0123456789012345678901234567890123456789012","typ":"copyhold-lease+jwt"}`
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature := make([]byte, ed25519.SignatureSize)
	if key != nil {
		signature = ed25519.Sign(key, []byte(input))
	}
	answer, err := json.Marshal(yardstickAnswer{input + "." + base64.RawURLEncoding.EncodeToString(signature)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// yardstickBody is a request of 400 bytes.
func yardstickBody() []byte {
	q := yardstickRequest{
		RequestID: "req_01jd0000000000000000000000", Nonce: "abcdefghijklmnopqrstuv", Pool: "seats", Units: 1,
		Holder: yardstickHolder{Kind: "user", ID: "user-000001"}, Instance: "inst-000001", Labels: map[string]string{},
	}
	for i := 0; ; i++ {
		b, err := json.Marshal(q)
		if err != nil || len(b) >= 400 {
			return b
		}
		q.Labels[fmt.Sprintf("label%d", i)] = strings.Repeat("v", min(20, 400-len(b)))
	}
}
