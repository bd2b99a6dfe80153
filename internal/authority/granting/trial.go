package granting

import (
	"copyhold.dev/internal/authority/catalog"
)

// machineTrial reports whether a newcomer's machine has had the trial through another license. It
// prevents other transactions from granting that trial until the commit.
func (b *batch) machineTrial(o *Op, p *Pool) (had bool, err error) {
	t := &o.Answer.terms.Terms
	if !t.OncePerMachine(p.Rule) {
		return false, nil
	}
	if err := b.LockProduct(b.ctx, t.Env, t.Product); err != nil {
		return false, err
	}
	_, had, err = catalog.MachineHad(b.ctx, b.Tx.Tx, t, p.Rule, o.Acquire.Holder.Components)
	return had, err
}
