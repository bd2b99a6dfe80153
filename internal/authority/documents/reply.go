package documents

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

const (
	// replyLife is how long a reply may be under way. It is fresh by its nonce.
	replyLife = 5 * time.Minute
	maxNonce  = 128
)

// CheckNonce refuses a nonce that is too short to be one, or too long to repeat.
// Empty is none.
func CheckNonce(nonce string) error {
	if nonce == "" {
		return nil
	}
	if len(nonce) < 8 || len(nonce) > maxNonce {
		return licensing.Errorf(licensing.Invalid, "a nonce has 8 to %d characters", maxNonce).At("nonce")
	}
	for i := range len(nonce) {
		if nonce[i] <= ' ' || nonce[i] > '~' {
			return licensing.Errorf(licensing.Invalid, "a nonce is printable ASCII without spaces").At("nonce")
		}
	}
	return nil
}

// A Question is what a reply answers.
type Question struct {
	Nonce    string
	product  licensing.ProductName // of the program that asks
	document string                // hash of the document the reply speaks of
	Entry    string                // leaf hash of the question's own log entry
}

// Reply signs a decision about a license, bound to the question's nonce. Without
// a nonce there is no reply: an unsigned yes and no can be believed by nobody.
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
