package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// FenceDeclarationRequest is one person's declaration that no lease was lost.
type FenceDeclarationRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"400" doc:"The evidence; it is recorded"`
}

// FenceDeclared is the result of a declaration.
type FenceDeclared struct {
	Ended bool        `json:"ended" doc:"Whether two people have declared it, so that new leases are granted again."`
	Fence FenceStatus `json:"fence" doc:"The fence before the declaration"`
}

// A FenceStatus is the state of an environment's fence.
type FenceStatus struct {
	Fenced   bool              `json:"fenced" doc:"Whether any pool grants no new leases."`
	Since    time.Time         `json:"since,omitzero" doc:"Leases granted before this time may be missing."`
	Until    time.Time         `json:"until,omitzero" doc:"When the last pool grants new leases again, unless two people end the wait earlier."`
	Reason   string            `json:"reason,omitempty"`
	Pools    []FencedPool      `json:"pools" doc:"The pools of each plan that grant no new leases, and until when. Only for tokens without a customer or product limit."`
	Declared *FenceDeclaration `json:"declared,omitempty" doc:"One person's declaration that nothing is missing; a second person must agree."`
}

// A FencedPool is a pool of a plan that grants no new leases. Licenses that were
// issued after the loss are not fenced.
type FencedPool struct {
	Plan  licensing.PlanName `json:"plan"`
	Pool  string             `json:"pool"`
	Until time.Time          `json:"until"`
}

// A FenceDeclaration is one person's declaration that no lease is missing.
type FenceDeclaration struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until" doc:"When the declaration lapses if no second person agrees."`
	Reason string    `json:"reason"`
}
