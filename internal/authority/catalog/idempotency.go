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

// answersKept is how long a write can be repeated under its Idempotency-Key.
const answersKept = 24 * time.Hour

// errRaced says that a request with the same key committed meanwhile.
var errRaced = errors.New("the same Idempotency-Key was used meanwhile")

// Once makes a change with fn and returns its result. If p names the request
// (p.Once), the result is committed with the change, and the same request
// again returns it without another change; another request under the same name
// is refused. What failed changed nothing and may be tried again.
//
// Results can hold a new secret, so they are stored sealed with a key that only
// the caller's own token yields.
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
		return result, licensing.Errorf(licensing.Invalid, "an Idempotency-Key has at most 255 bytes")
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

// answered returns the answer kept under p.Once, or makes the change and keeps its result.
func answered[R any](ctx context.Context, tx *ledger.Tx, p access.Principal, body string, fn func(*ledger.Tx) (R, error)) (R, error) {
	var result R
	since := tx.Now().Add(-answersKept)
	kept, ok, err := tx.Answer(ctx, p.Env, p.Token, p.Once.Route, p.Once.Key, since)
	if err != nil {
		return result, err
	}
	if ok && kept.Body != body {
		return result, licensing.Errorf(licensing.IdempotencyMismatch,
			"this Idempotency-Key was used for another request on %s", kept.At.Format(time.RFC3339))
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
		return result, fmt.Errorf("encoding an answer to keep it: %w", err)
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

// answerCipher is keyed by the token's own text and the name of one write: each
// key seals once, apart from answers that expired, so the nonce is random.
func answerCipher(p access.Principal) cipher.AEAD {
	key := access.Hash(string(p.Answers[:]) + p.Once.Route + "\x00" + p.Once.Key)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) //nolint:forbidigo // a digest is a key of 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) //nolint:forbidigo // AES has blocks of 16 bytes
	}
	return aead
}

func sealAnswer(p access.Principal, text []byte) string {
	return base64.RawStdEncoding.EncodeToString(answerCipher(p).Seal(nil, nil, text, nil))
}

func openAnswer(p access.Principal, sealed string) ([]byte, error) {
	data, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("decoding a kept answer: %w", err)
	}
	text, err := answerCipher(p).Open(nil, nil, data, nil)
	if err != nil {
		return nil, fmt.Errorf("opening a kept answer: %w", err)
	}
	return text, nil
}

// forgetAnswers removes answers that are kept no longer.
func (c *Catalog) forgetAnswers(ctx context.Context) error {
	const some = 1000
	for {
		var n int64
		err := c.ledger.DB.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteAnswers(ctx, tx.Now().Add(-answersKept), some)
			return err
		})
		if err != nil || n < some {
			return err
		}
	}
}

// answersEvery is how often answers are removed that are kept no longer.
const answersEvery = time.Minute

func (c *Catalog) runAnswers(ctx context.Context) {
	c.ledger.Every(ctx, answersEvery, "answers", c.forgetAnswers)
}
