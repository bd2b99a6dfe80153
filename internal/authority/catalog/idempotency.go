package catalog

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// answersKept is how long a write can be repeated with its Idempotency-Key.
const answersKept = 24 * time.Hour

// errRaced means that a request with the same key committed in the meantime.
var errRaced = errors.New("another request with this Idempotency-Key has just committed")

// Once makes a change with fn and returns its result. If p names the request (p.Once), Once commits
// the result together with the change. The same request then returns the same result without
// another change. A different request with the same name is refused. A failed request changes
// nothing and may be repeated.
//
// Results can contain a new secret. They are therefore stored encrypted, under a key that only the
// caller's own token yields.
func Once[Q, R any](ctx context.Context, l *ledger.Ledger, p access.Principal, request Q, fn func(*ledger.Tx) (R, error)) (R, error) {
	var result R
	if p.Once.Key == "" || p.Kind != access.KindToken {
		err := l.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) (err error) {
			result, err = fn(tx)
			return err
		})
		return result, err
	}
	if len(p.Once.Key) > 255 {
		return result, licensing.Errorf(licensing.Invalid, "Idempotency-Key is longer than 255 bytes")
	}
	text, err := json.Marshal(request)
	if err != nil {
		return result, fmt.Errorf("encoding the request to compare it later: %w", err)
	}
	body := access.Hash(string(text)).String()
	attempt := func() error {
		return l.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) (err error) {
			result, err = answered(ctx, tx, p, body, fn)
			return err
		})
	}
	if err = attempt(); errors.Is(err, errRaced) {
		err = attempt()
	}
	return result, err
}

// answered returns the result stored under p.Once. If there is none, it makes the change and stores
// the result.
func answered[R any](ctx context.Context, tx *ledger.Tx, p access.Principal, body string, fn func(*ledger.Tx) (R, error)) (R, error) {
	var result R
	since := tx.Now().Add(-answersKept)
	kept, ok, err := tx.Answer(ctx, p.Env, p.Token, p.Once.Route, p.Once.Key, since)
	if err != nil {
		return result, err
	}
	if ok && kept.Body != body {
		return result, licensing.Errorf(licensing.IdempotencyMismatch,
			"Idempotency-Key was used for a different request at %s", kept.At.Format(time.RFC3339))
	}
	if ok {
		text, err := openAnswer(p, kept.Answer)
		if err != nil {
			return result, err
		}
		return result, json.Unmarshal(text, &result)
	}
	if result, err = fn(tx); err != nil {
		return result, err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return result, fmt.Errorf("encoding an answer to store it: %w", err)
	}
	free, err := tx.InsertAnswer(ctx, store.Answer{
		Env: p.Env, Token: p.Token, Route: p.Once.Route, Key: p.Once.Key,
		Body: body, Answer: sealAnswer(p, text), At: tx.Now(),
	}, since)
	if err == nil && !free {
		err = errRaced
	}
	return result, err
}

// answerCipher derives its key from the token's text and the name of one write. Each key encrypts
// one answer, unless an earlier answer has expired. The nonce is therefore random.
func answerCipher(p access.Principal) cipher.AEAD {
	key := access.Hash(string(p.Answers[:]) + p.Once.Route + "\x00" + p.Once.Key)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) //nolint:forbidigo // a digest is a 32-byte key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) //nolint:forbidigo // AES has 16-byte blocks
	}
	return aead
}

func sealAnswer(p access.Principal, text []byte) string {
	return base64.RawStdEncoding.EncodeToString(answerCipher(p).Seal(nil, nil, text, nil))
}

func openAnswer(p access.Principal, sealed string) ([]byte, error) {
	data, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("decoding a stored answer: %w", err)
	}
	text, err := answerCipher(p).Open(nil, nil, data, nil)
	if err != nil {
		return nil, fmt.Errorf("decrypting a stored answer: %w", err)
	}
	return text, nil
}

// ForgetAnswers removes expired answers.
func (c *Catalog) ForgetAnswers(ctx context.Context) error {
	const some = 1000
	for {
		var expired bool
		err := c.ledger.View(ctx, func(tx *store.Tx) (err error) {
			expired, err = tx.ExpiredAnswers(ctx, tx.Now().Add(-answersKept))
			return err
		})
		if err != nil || !expired {
			return err
		}
		var n int64
		err = c.ledger.DB.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteAnswers(ctx, tx.Now().Add(-answersKept), some)
			return err
		})
		if err != nil || n < some {
			return err
		}
	}
}

// answersEvery is how often expired answers are removed.
const answersEvery = time.Minute

func (c *Catalog) runAnswers(ctx context.Context) {
	c.ledger.Every(ctx, answersEvery, "answers", c.ForgetAnswers)
}
