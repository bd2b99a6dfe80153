package credentials

import (
	"context"
	"crypto/rand"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// CreateToken creates a token. The token cannot do more than p can.
func (c *Credentials) CreateToken(ctx context.Context, p access.Principal, req v1.TokenRequest) (v1.NewToken, error) {
	if err := request.Require(p, access.TokenWrite); err != nil {
		return v1.NewToken{}, err
	}
	if err := mayCreate(p, req); err != nil {
		return v1.NewToken{}, err
	}
	return catalog.Once(ctx, c.ledger, p, req, func(tx *ledger.Tx) (v1.NewToken, error) {
		if err := scopeExists(ctx, tx.Tx, p, req); err != nil {
			return v1.NewToken{}, err
		}
		if !req.ExpiresAt.IsZero() && !tx.Now().Before(req.ExpiresAt) {
			return v1.NewToken{}, licensing.Errorf(licensing.Invalid, "the token's expiry is in the past").At("expires_at")
		}
		return CreateToken(ctx, tx, p, req)
	})
}

// CreateToken stores a new token in tx. Only the answer contains its text.
func CreateToken(ctx context.Context, tx *ledger.Tx, p access.Principal, req v1.TokenRequest) (v1.NewToken, error) {
	var secret [20]byte
	rand.Read(secret[:])
	row := store.Token{
		Env:       p.Env,
		ID:        licensing.TokenID(ledger.NewID(licensing.TokenPrefix, tx.Now())),
		Name:      req.Name,
		Role:      string(req.Role),
		Product:   req.Product,
		Customer:  req.Customer,
		CreatedBy: p.Actor,
		CreatedAt: tx.Now(),
		ExpiresAt: req.ExpiresAt,
	}
	if req.Spans {
		row.Env = access.AllEnvironments
	}
	text := access.NewToken(row.Env, row.ID, secret)
	row.Digest = access.Hash(text).String()
	if err := tx.InsertToken(ctx, row); err != nil {
		return v1.NewToken{}, err
	}
	return v1.NewToken{Token: tokenOf(row), Text: text}, tx.Note(licensing.TokenCreated,
		licensing.Event{Env: p.Env, Subject: string(row.ID), Product: req.Product, Customer: req.Customer},
		entry.Token{Name: req.Name, Role: string(req.Role), Spans: req.Spans, ExpiresAt: req.ExpiresAt})
}

// mayCreate refuses a token that would have more access than p.
func mayCreate(p access.Principal, req v1.TokenRequest) error {
	if _, err := access.ParseRole(string(req.Role)); err != nil {
		return err
	}
	if err := request.CheckDisplays(request.Text{Field: "name", Value: req.Name}); err != nil {
		return err
	}
	switch {
	case req.Name == "" || len(req.Name) > 200:
		return licensing.Errorf(licensing.Invalid, "name must have 1 to 200 bytes, so that people recognize the token in lists").At("name")
	case licensing.CheckDate("expires_at", req.ExpiresAt) != nil:
		return licensing.CheckDate("expires_at", req.ExpiresAt)
	case req.Role == access.Customer && req.Customer == "":
		return licensing.Errorf(licensing.Invalid, "customer is missing: the role customer requires one").At("customer")
	case req.Customer != "" && !req.Role.TakesCustomer():
		return licensing.Errorf(licensing.Invalid, "a token with the role %s cannot be limited to one customer: choose another role", req.Role).At("customer")
	case req.Spans && !access.MaySpan(req.Role, req.Product, req.Customer):
		return licensing.Errorf(licensing.Invalid, "only a token with the role owner, without product and customer, can span environments").At("spans")
	case req.Spans && !p.Spans && p.Kind != access.KindSystem,
		!p.Role.MayGrant(req.Role),
		!p.SeesProduct(req.Product),
		p.Customer != "" && p.Customer != req.Customer:
		return licensing.Errorf(licensing.Forbidden, "a token cannot create a token with more access than it has itself")
	}
	return nil
}

func scopeExists(ctx context.Context, tx *store.Tx, p access.Principal, req v1.TokenRequest) error {
	if req.Customer != "" {
		if _, err := catalog.SeenCustomer(ctx, tx, p, req.Customer); err != nil {
			return err
		}
	}
	if req.Product != "" {
		if _, err := catalog.SeenProduct(ctx, tx, p, req.Product); err != nil {
			return err
		}
	}
	return nil
}

// DeleteToken ends a token. It takes effect here immediately, and on other nodes within authTTL.
func (c *Credentials) DeleteToken(ctx context.Context, p access.Principal, id licensing.TokenID) error {
	if err := request.Require(p, access.TokenWrite); err != nil {
		return err
	}
	err := c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		token, err := seenToken(ctx, tx.Tx, p, id)
		if err != nil {
			return err
		}
		if !p.Role.MayGrant(access.Role(token.Role)) {
			return licensing.Errorf(licensing.Forbidden, "token %s has more access than yours", id)
		}
		if _, err := tx.Tx.DeleteToken(ctx, token.Env, id); err != nil {
			return err
		}
		return tx.Note(licensing.TokenRevoked, licensing.Event{Subject: string(id)}, entry.Token{Name: token.Name, Role: token.Role})
	})
	c.auth.forget(string(id), c.ledger.Now())
	return err
}

// Tokens returns the tokens of p's environment that p may see, by id, which is by time. Tokens that
// span environments are listed only if p spans them too.
func (c *Credentials) Tokens(ctx context.Context, p access.Principal, of request.PageOf) (request.Page[v1.Token], error) {
	var found request.Page[v1.Token]
	if err := request.Require(p, access.TokenRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("token")
	if err != nil {
		return found, err
	}
	err = c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		filter := store.TokenFilter{Env: p.Env, Product: p.Product, Customer: p.Customer}
		if p.Spans {
			filter.Also = access.AllEnvironments
		}
		tokens, err := tx.Tokens(ctx, filter, after, rows)
		if err != nil {
			return err
		}
		all, err := namedTokens(ctx, tx, tokens)
		found = request.NewPage("token", all, rows, func(t v1.Token) string { return string(t.ID) })
		return err
	})
	return found, err
}

// Token returns one token that p may see.
func (c *Credentials) Token(ctx context.Context, p access.Principal, id licensing.TokenID) (v1.Token, error) {
	var found v1.Token
	if err := request.Require(p, access.TokenRead); err != nil {
		return found, err
	}
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		token, err := seenToken(ctx, tx, p, id)
		if err != nil {
			return err
		}
		all, err := namedTokens(ctx, tx, []store.Token{token})
		found = all[0]
		return err
	})
	return found, err
}

// namedTokens returns tokens with the names of the customers that they are limited to.
func namedTokens(ctx context.Context, tx *store.Tx, tokens []store.Token) ([]v1.Token, error) {
	var keys []store.CustomerKey
	for _, t := range tokens {
		if t.Customer != "" {
			keys = append(keys, store.CustomerKey{Env: t.Env, ID: t.Customer})
		}
	}
	names, err := tx.CustomerNames(ctx, keys)
	all := make([]v1.Token, len(tokens))
	for i, t := range tokens {
		all[i] = tokenOf(t)
		all[i].CustomerName = names[store.CustomerKey{Env: t.Env, ID: t.Customer}]
	}
	return all, err
}

func seenToken(ctx context.Context, tx *store.Tx, p access.Principal, id licensing.TokenID) (store.Token, error) {
	token, ok, err := tx.Token(ctx, p.Env, id)
	if err == nil && !ok && p.Spans {
		token, ok, err = tx.Token(ctx, access.AllEnvironments, id)
	}
	if err == nil && (!ok || !p.SeesProduct(token.Product) || p.Customer != "" && p.Customer != token.Customer) {
		return store.Token{}, request.NotFound("token", id)
	}
	return token, err
}

func tokenOf(t store.Token) v1.Token {
	return v1.Token{
		Env: t.Env, ID: t.ID, Name: t.Name, Role: access.Role(t.Role), Product: t.Product, Customer: t.Customer,
		CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, UsedAt: t.UsedAt,
	}
}
