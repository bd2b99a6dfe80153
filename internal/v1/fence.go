package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// FenceDeclarationRequest is the word of one person that no lease was lost.
type FenceDeclarationRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"400" doc:"What shows it; it is recorded"`
}

// FenceDeclared is what a declaration came to.
type FenceDeclared struct {
	Ended bool        `json:"ended" doc:"Two people have declared it, and newcomers are served again."`
	Fence FenceStatus `json:"fence" doc:"The fence as it stood"`
}

// A FenceStatus is how an environment's fence stands.
type FenceStatus struct {
	Fenced   bool              `json:"fenced" doc:"Whether newcomers wait in some pool."`
	Since    time.Time         `json:"since,omitzero" doc:"Leases that were granted before may be missing."`
	Until    time.Time         `json:"until,omitzero" doc:"When the last pool grants to newcomers again, unless two people end the wait."`
	Reason   string            `json:"reason,omitempty"`
	Pools    []FencedPool      `json:"pools" doc:"Each plan's pools that grant nothing to newcomers, and until when. Only for tokens of every customer and product."`
	Declared *FenceDeclaration `json:"declared,omitempty" doc:"That one person declared that nothing is missing; a second one has to agree."`
}

// A FencedPool is a pool of a plan that grants nothing to newcomers. Licenses
// that were issued after the loss are not fenced.
type FencedPool struct {
	Plan  licensing.PlanName `json:"plan"`
	Pool  string             `json:"pool"`
	Until time.Time          `json:"until"`
}

// A FenceDeclaration is the word of one person that no lease is missing.
type FenceDeclaration struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until" doc:"When it lapses, if nobody agrees."`
	Reason string    `json:"reason"`
}
