package authority

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
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// answersKept is how long a write can be repeated under its Idempotency-Key.
const answersKept = 24 * time.Hour

// errRaced says that a request with the same key committed meanwhile.
var errRaced = errors.New("the same Idempotency-Key was used meanwhile")

// once makes a change with fn and returns its result. If p names the request
// (p.Once), the result is committed with the change, and the same request
// again returns it without another change; another request under the same name
// is refused. What failed changed nothing and may be tried again.
//
// Results can hold a new secret, so they are stored sealed with a key that only
// the caller's own token yields.
func once[Q, R any](ctx context.Context, a *Authority, p access.Principal, request Q, fn func(*change) (R, error)) (R, error) {
	var result R
	if p.Once.Key == "" || p.Kind != access.KindToken {
		err := a.update(ctx, p.Env, p.Actor, func(c *change) (err error) {
			result, err = fn(c)
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
		return a.update(ctx, p.Env, p.Actor, func(c *change) (err error) {
			result, err = answered(ctx, c, p, body, fn)
			return err
		})
	}
	if err = attempt(); errors.Is(err, errRaced) {
		err = attempt()
	}
	return result, err
}

// answered returns the answer kept under p.Once, or makes the change and keeps its result.
func answered[R any](ctx context.Context, c *change, p access.Principal, body string, fn func(*change) (R, error)) (R, error) {
	var result R
	since := c.Now().Add(-answersKept)
	kept, ok, err := c.Answer(ctx, p.Env, p.Token, p.Once.Route, p.Once.Key, since)
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
	if result, err = fn(c); err != nil {
		return result, err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return result, fmt.Errorf("encoding an answer to keep it: %w", err)
	}
	free, err := c.InsertAnswer(ctx, store.Answer{
		Env: p.Env, Token: p.Token, Route: p.Once.Route, Key: p.Once.Key,
		Body: body, Answer: sealAnswer(p, text), At: c.Now(),
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

// credentialsEvery is how often uses of tokens are stored and old answers forgotten.
const credentialsEvery = time.Minute

// runCredentials stores when tokens were used and forgets answers that are kept
// no longer, until ctx ends.
func (a *Authority) runCredentials(ctx context.Context) {
	a.every(ctx, credentialsEvery, "credentials", func(ctx context.Context) error {
		return errors.Join(a.saveTokenUses(ctx), a.forgetAnswers(ctx))
	})
}

// forgetAnswers removes answers that are kept no longer.
func (a *Authority) forgetAnswers(ctx context.Context) error {
	const some = 1000
	for {
		var n int64
		err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteAnswers(ctx, tx.Now().Add(-answersKept), some)
			return err
		})
		if err != nil || n < some {
			return err
		}
	}
}
