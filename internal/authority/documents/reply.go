package documents

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

const (
	// replyLife is how long a reply may be in transit. Its nonce proves that it is fresh.
	replyLife = 5 * time.Minute
	maxNonce  = 128
)

// CheckNonce refuses a nonce that is too short to be unique, or too long to repeat. An empty nonce
// means none.
func CheckNonce(nonce string) error {
	if nonce == "" {
		return nil
	}
	if len(nonce) < 8 || len(nonce) > maxNonce {
		return licensing.Errorf(licensing.Invalid, "nonce must have 8 to %d characters", maxNonce).At("nonce")
	}
	for i := range len(nonce) {
		if nonce[i] <= ' ' || nonce[i] > '~' {
			return licensing.Errorf(licensing.Invalid, "nonce must be printable ASCII without spaces").At("nonce")
		}
	}
	return nil
}

// A Question is the request that a reply answers.
type Question struct {
	Nonce    string
	product  licensing.ProductName // of the calling program
	document string                // hash of the document that the reply refers to
	Entry    string                // leaf hash of the request's own log entry
}

// Reply signs a decision about a license and binds it to the request's nonce. Without a nonce, it
// returns no reply, and the client cannot trust the decision.
func (docs *Documents) Reply(t *licensing.Terms, q Question, d license.Decision, now time.Time) (string, error) {
	if q.Nonce == "" {
		return "", nil
	}
	product := q.product
	if product == "" {
		product = t.Product
	}
	r := license.Reply{
		Claims: license.Claims{
			Issuer: docs.ledger.Ring.Issuer(t.Env), Audience: []string{string(product)}, Subject: string(t.License),
			IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(replyLife).Unix(),
			ID: DocumentID(now), Version: license.Version, Seq: t.Seq,
		},
		Nonce: q.Nonce, Decision: d, Document: q.document, Time: now.Unix(), Head: docs.ledger.Head(t.Env), Entry: q.Entry,
	}
	return docs.ledger.Ring.Sign(t.Env, license.TypeReply, r, now)
}
