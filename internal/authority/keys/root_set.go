package keys

import (
	"context"
	"slices"
	"strconv"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	v1 "copyhold.dev/internal/v1"
)

// ProposeRootSet begins a ceremony for the next root set. It makes signing keys for two years,
// which wait until the set is installed. It returns the data that the holders of the roots must
// sign. A ceremony that was begun earlier can no longer be installed.
func (k *Keychain) ProposeRootSet(ctx context.Context, p access.Principal, want signing.RootChoice) (signing.RootCeremony, error) {
	if err := request.Require(p, access.RootWrite); err != nil {
		return signing.RootCeremony{}, err
	}
	var ceremony signing.RootCeremony
	err := k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
		m, proposed, err := signing.Propose(m, want, k.ledger.Ring.Sealing(), tx.Now())
		if err != nil {
			return m, err
		}
		ceremony = proposed
		return m, noteKey(tx, p.Env, licensing.RootSetProposed, "", entry.Proposed{
			Number: m.RootSet.Number + 1, Keep: proposed.Keep, Roots: proposed.Roots, Threshold: proposed.K, Keys: kids(m.Proposed),
		})
	})
	return ceremony, err
}

// InstallRootSet activates the sets of a complete ceremony. It verifies them like a program that
// trusts the previous root set.
func (k *Keychain) InstallRootSet(ctx context.Context, p access.Principal, rootSet, keySet []string) (v1.InstalledRootSet, error) {
	var in v1.InstalledRootSet
	if err := request.Require(p, access.RootWrite); err != nil {
		return in, err
	}
	err := k.changeKeys(ctx, p, func(tx *ledger.Tx, was signing.Material) (signing.Material, error) {
		m, err := signing.InstallRootSet(was, rootSet, keySet, tx.Now())
		if err != nil {
			return m, err
		}
		in = v1.InstalledRootSet{Number: m.RootSet.Number, Expires: m.RootSet.ExpiresAt, KeySet: m.KeySet.Number, Gone: []string{}}
		before := roots(was)
		in.Roots = roots(m)
		for _, kid := range before {
			if !slices.Contains(in.Roots, kid) {
				in.Gone = append(in.Gone, kid)
			}
		}
		return m, noteKey(tx, p.Env, licensing.RootSetInstalled, strconv.FormatInt(in.Number, 10), entry.Installed(in))
	})
	return in, err
}

// roots returns the roots in force.
func roots(m signing.Material) []string {
	var list []licensing.SigningKey
	for _, k := range m.Keys {
		if k.Use == licensing.RootKey && k.RetiredAt.IsZero() {
			list = append(list, k)
		}
	}
	return kids(list)
}

func kids(keys []licensing.SigningKey) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.ID
	}
	return list
}

// RootSetNumbered returns a root set of the environment, as compact JWS over one payload. The error
// is NotFound if no root set has the number.
func (k *Keychain) RootSetNumbered(env licensing.Env, number int64) ([]string, error) {
	if set := k.ledger.Ring.RootSetNumbered(env, number); set != nil {
		return set, nil
	}
	return nil, request.NotFound("root set", number)
}
