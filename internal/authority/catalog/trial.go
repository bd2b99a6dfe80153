package catalog

import (
	"context"
	"encoding/base64"
	"strings"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// trialOfID is the subject while the customer exists. The claim is then the customer's id.
const trialOfID = "id"

// checkTrial refuses terms with a trial that the customer already had through another license. It
// locks the customer, so its answer stays correct until the commit.
func checkTrial(ctx context.Context, tx *ledger.Tx, t licensing.Terms) error {
	if t.Rule.Once != licensing.OnceCustomer {
		return nil
	}
	if err := tx.LockCustomer(ctx, t.Env, t.Customer); err != nil {
		return err
	}
	had, err := tx.Trials(ctx, t.Env, string(t.Customer))
	if err != nil {
		return err
	}
	for _, other := range had {
		if other.Product == t.Product && other.License != t.License {
			return t.SecondTrial(other.License)
		}
	}
	// Licenses of the plan that were issued before the limit count as well.
	issued, err := tx.Licenses(ctx, t.Env, store.LicenseFilter{Customer: t.Customer, Product: t.Product, Plan: t.Plan}, "", 2)
	if err != nil {
		return err
	}
	for _, other := range issued {
		if other.ID != t.License {
			return t.SecondTrial(other.ID)
		}
	}
	customer, _, err := tx.Customer(ctx, t.Env, t.Customer)
	if err != nil {
		return err
	}
	past, err := tx.MatchTrials(ctx, t.Env, t.Product, trialSubjects(tx.Ring.Sealing(), customer))
	for _, other := range past {
		if tx.Now().Before(other.Forget) && other.License != t.License {
			return t.SecondTrial("")
		}
	}
	return err
}

// takeTrial records the trial of a customer, which checkTrial has allowed.
func takeTrial(ctx context.Context, tx *ledger.Tx, t licensing.Terms) error {
	if t.Rule.Once != licensing.OnceCustomer {
		return nil
	}
	return tx.InsertTrials(ctx, []store.Trial{{
		Env: t.Env, Product: t.Product, Claim: string(t.Customer), Subject: trialOfID, License: t.License, Taken: tx.Now(),
	}})
}

// transferTrial records a license's trial for its new customer as well.
func transferTrial(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License, to licensing.CustomerID) error {
	l.Customer = to
	rev, err := granting(ctx, tx, p, l)
	if err != nil {
		return err
	}
	terms, err := licensing.Compile(rev, l, tx.Now())
	if err != nil {
		return nil // a license that does not fit its plan can still be transferred
	}
	if err := checkTrial(ctx, tx, terms); err != nil {
		return err
	}
	return takeTrial(ctx, tx, terms)
}

// keepTrials replaces the claims of a customer that is being deleted with hashes of the email
// address and the reference. The hashes are kept for TrialRemembered. Without the server's sealing
// key, nobody can test addresses against them.
func keepTrials(ctx context.Context, tx *ledger.Tx, customer licensing.Customer) error {
	had, err := tx.Trials(ctx, customer.Env, string(customer.ID))
	if err != nil || len(had) == 0 {
		return err
	}
	var kept []store.Trial
	for _, t := range had {
		t.Forget = tx.Now().Add(licensing.TrialRemembered)
		for _, t.Subject = range trialSubjects(tx.Ring.Sealing(), customer) {
			kept = append(kept, t)
		}
	}
	return tx.ReplaceTrials(ctx, customer.Env, string(customer.ID), kept)
}

// trialSubjects returns the subjects by which a deleted customer is recognized.
func trialSubjects(key *signing.SealingKey, customer licensing.Customer) []string {
	var subjects []string
	for _, by := range [][2]string{{"address", strings.ToLower(customer.Email)}, {"reference", customer.Reference}} {
		if by[1] == "" {
			continue
		}
		mac := key.MAC([]byte("trial\x00" + string(customer.Env) + "\x00" + by[0] + "\x00" + by[1]))
		subjects = append(subjects, by[0]+":"+base64.RawURLEncoding.EncodeToString(mac))
	}
	return subjects
}

// MachineHad reports whether a machine with these components has had the trial of t, through the
// license itself and through another license.
func MachineHad(ctx context.Context, tx *store.Tx, t *licensing.Terms, pool licensing.Pool, components map[string]string) (own, other bool, err error) {
	found, err := tx.MatchTrials(ctx, t.Env, t.Product, componentSubjects(components))
	if err != nil {
		return false, false, err
	}
	agree := map[string]int{}
	for _, f := range found {
		if agree[f.Claim]++; agree[f.Claim] != pool.Match.Need {
			continue
		}
		claim, err := tx.Trials(ctx, t.Env, f.Claim)
		if err != nil {
			return false, false, err
		}
		if license.Compare(componentsOf(claim), components, pool.Match.Need).Same {
			own, other = own || f.License == t.License, other || f.License != t.License
		}
	}
	return own, other, nil
}

// TakeMachineTrial records that a machine has the trial of t, unless that is already recorded.
func TakeMachineTrial(ctx context.Context, tx *store.Tx, t *licensing.Terms, pool licensing.Pool, claim string, components map[string]string) error {
	own, _, err := MachineHad(ctx, tx, t, pool, components)
	if err != nil || own {
		return err
	}
	rows := make([]store.Trial, 0, len(components))
	for _, subject := range componentSubjects(components) {
		rows = append(rows, store.Trial{Env: t.Env, Product: t.Product, Claim: claim, Subject: subject, License: t.License, Taken: tx.Now()})
	}
	return tx.InsertTrials(ctx, rows)
}

func componentSubjects(components map[string]string) []string {
	subjects := make([]string, 0, len(components))
	for name, hash := range components {
		subjects = append(subjects, name+":"+hash)
	}
	return subjects
}

func componentsOf(claim []store.Trial) map[string]string {
	components := make(map[string]string, len(claim))
	for _, t := range claim {
		name, hash, _ := strings.Cut(t.Subject, ":")
		components[name] = hash
	}
	return components
}
