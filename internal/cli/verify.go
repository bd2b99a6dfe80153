package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

func (c *cli) verifyCommand() *cobra.Command {
	var product, at, keySet string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a license file offline, with only a pinned root set",
		Long: `Verify reads a license file (JSON or armour; - for standard input) and checks every
signature, starting from the pinned root set. It prints what the license grants and when
its state changes. It needs no server and ignores everything in the file that is not
signed.

A file is accepted until the last date in its document, even if its key set expired long
before. With --key-set, verify rejects key sets that are older than the one in that file,
so that a key withdrawn there remains withdrawn.

Exit status: 0 genuine and usable; 3 genuine, but it grants nothing at that time or for
that product; 4 forged or damaged; 5 not signed by a key that the root set vouches for;
6 signed with a withdrawn key. With --output json, the error's code is expired,
not_started, wrong_product, forged, unknown_issuer, key_withdrawn or unsupported.`,
		Example: `  copyhold verify acme.license --root-set root-set.json
  copyhold verify acme.license --root-set root-set.json --key-set key-set.json
  copyhold verify acme.license --root-set root-set.json --at 2027-01-31T00:00:00Z`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			if at != "" {
				var err error
				if now, err = licensing.ParseDate(at); err != nil {
					return usageError(cmd, "--at: %v", err)
				}
			}
			s, err := c.settings(client.Anonymous)
			if err != nil {
				return err
			}
			if s.RootSet.Value == "" {
				return usageError(cmd, "missing root set: specify its file with --root-set or COPYHOLD_ROOT_SET_FILE")
			}
			trusted, err := pinnedTrust(s.RootSet.Value, keySet, product)
			if err != nil {
				return err
			}
			text, err := c.readInput(args[0])
			if err != nil {
				return err
			}
			doc, err := verifyFile(text, trusted, now.Unix())
			if err != nil {
				var p *client.Problem
				if errors.As(err, &p) {
					p.Detail = args[0] + ": " + p.Detail
				}
				return err
			}
			return c.printVerified(doc, now)
		},
	}
	cmd.Flags().StringVar(&product, "product", "", "refuse a license for any other product")
	cmd.Flags().StringVar(&at, "at", "", "verify as of this time instead of now")
	cmd.Flags().StringVar(&keySet, "key-set", "", "file with a key set; older key sets are rejected")
	return cmd
}

// pinnedTrust reads the pinned sets to verify license files against. An empty product accepts
// any product.
func pinnedTrust(rootSet, keySet, product string) (*license.Verifier, error) {
	pinned, err := client.ReadRootSet(rootSet)
	if err != nil {
		return nil, err
	}
	trusted, err := license.NewAuditor(pinned)
	if err == nil && product != "" {
		trusted, err = license.NewVerifier(trusted.Issuer(), product, pinned)
	}
	if err != nil {
		return nil, exitf(exitUsage, "reading the pinned root set: %w", err)
	}
	if keySet == "" {
		return trusted, nil
	}
	floor, err := client.ReadSet(keySet, "key set")
	if err != nil {
		return nil, err
	}
	if trusted, err = trusted.WithFloor(floor); err != nil {
		return nil, exitf(exitUsage, "reading the key set: %w", err)
	}
	return trusted, nil
}

// verifyFile verifies a license file as of now. It returns a refusal as an exit with a problem
// that contains the reason and a code.
func verifyFile(text []byte, trusted *license.Verifier, now int64) (*license.License, error) {
	bundle, err := license.DecodeBundle(text)
	if err != nil {
		return nil, refusedFile(err)
	}
	sets, err := trusted.WithBundle(bundle, now)
	if err != nil {
		claimed, _ := unverified(bundle.Doc) // empty if it cannot be read
		return nil, refusedSets(err, claimed.Issuer, trusted.Issuer())
	}
	doc, err := sets.Filed().License(bundle.Doc, now)
	if err == nil {
		return doc, nil
	}
	if late, known := sets.Known().License(bundle.Doc, now); known == nil {
		switch {
		case errors.Is(err, license.ErrExpired):
			return nil, refuseFile(exitDenied, license.CodeExpired, "genuine, but expired at %s", utc(late.Degraded))
		case errors.Is(err, license.ErrNotYet):
			return nil, refuseFile(exitDenied, license.CodeNotStarted, "genuine, but not valid before %s", utc(late.NotBefore))
		}
	}
	return nil, refusedFile(err)
}

// refusedFile returns the error for an invalid license file.
func refusedFile(err error) error {
	switch {
	case errors.Is(err, license.ErrAudience):
		return refuseFile(exitDenied, license.CodeWrongProduct, "genuine, but for another product: %v", err)
	case errors.Is(err, license.ErrWithdrawn):
		return refuseFile(exitWithdrawn, "key_withdrawn", "signed with a withdrawn key, so its origin cannot be proven: export the license again")
	case errors.Is(err, license.ErrUnknownKey), errors.Is(err, license.ErrIssuer):
		return refuseFile(exitUnknown, "unknown_issuer", "not signed by a key that the root set vouches for: %v", err)
	case errors.Is(err, license.ErrVersion), errors.Is(err, license.ErrMust):
		return refuseFile(exitFailed, "unsupported", "the file has a newer format; verify it with a newer version of copyhold: %v", err)
	}
	return refuseFile(exitTampered, "forged", "forged or damaged: %v", err)
}

// refusedSets returns the error for invalid sets in a license file that claims an issuer.
func refusedSets(err error, claimed, issuer string) error {
	if claimed != "" && claimed != issuer {
		return refuseFile(exitUnknown, "unknown_issuer", "the file claims issuer %s, but the root set is for %s", claimed, issuer)
	}
	for _, unvouched := range []error{
		license.ErrThreshold, license.ErrRollback, license.ErrExpired, license.ErrNotYet, license.ErrKeyDates, license.ErrWithdrawn,
	} {
		if errors.Is(err, unvouched) {
			return refuseFile(exitUnknown, "unknown_issuer", "the root set does not vouch for the file's keys: the file was forged or was exported under other roots: %v", err)
		}
	}
	return refusedFile(err)
}

// unverified reads a license document without verifying it.
func unverified(compact string) (doc license.License, err error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return doc, license.ErrFormat
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return doc, license.ErrEncoding
	}
	return doc, license.Unmarshal(payload, &doc)
}

func refuseFile(status int, code, format string, args ...any) error {
	return &exit{status, &client.Problem{Code: code, Detail: fmt.Sprintf(format, args...)}}
}

func utc(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }

// A rung is one state of the ladder and when it begins, as an RFC 3339 time.
type rung struct {
	State license.State `json:"state"`
	From  string        `json:"from"`
}

func ladder(doc *license.License) []rung {
	at := func(s license.State, t int64) rung { return rung{s, utc(t)} }
	return []rung{
		at(license.StateValid, doc.NotBefore), at(license.StateStale, doc.Stale), at(license.StateGrace, doc.Due),
		at(license.StateDegraded, doc.Expires), at(license.StateDenied, doc.Degraded),
	}
}

func (c *cli) printVerified(doc *license.License, now time.Time) error {
	standing := doc.Standing(license.Facts{}, now.Unix())
	if c.asJSON() {
		if err := c.printJSON(map[string]any{
			"genuine": true, "state": standing.State, "code": standing.Code, "license": doc, "ladder": ladder(doc),
		}); err != nil {
			return err
		}
	} else {
		c.printf("genuine, issued by %s\n", doc.Issuer)
		c.printFields(record{
			"license": doc.Subject, "product": strings.Join(doc.Audience, ", "), "customer": doc.Customer, "plan": doc.Plan,
			"status": doc.Status, "state": string(standing.State), "why": license.Reason(standing.Code),
		},
			column{head: "LICENSE", path: "license"}, column{head: "PRODUCT", path: "product"}, column{head: "CUSTOMER", path: "customer"},
			column{head: "PLAN", path: "plan"}, column{head: "STATUS", path: "status"}, column{head: "STATE", path: "state"}, column{head: "WHY", path: "why"})
		c.printFeatures(doc, standing, now)
		c.printf("\n")
		var rows []record
		for _, r := range ladder(doc) {
			rows = append(rows, record{"from": r.From, "state": string(r.State)})
		}
		c.printTable(rows, column{head: "FROM", path: "from"}, column{head: "STATE", path: "state"})
	}
	if standing.State == license.StateDenied || standing.State == license.StateNone {
		return &exit{status: exitDenied}
	}
	return nil
}

// printFeatures prints every feature and its outcome in this standing.
func (c *cli) printFeatures(doc *license.License, standing license.Standing, now time.Time) {
	names := sortedKeys(doc.Features)
	if len(names) == 0 {
		return
	}
	c.printf("\n")
	rows := make([]record, len(names))
	for i, name := range names {
		f, d := doc.Feature(name, standing, now.Unix())
		rows[i] = record{"feature": name, "value": f.Value.String(), "outcome": string(d.Outcome)}
	}
	c.printTable(rows, column{head: "FEATURE", path: "feature"}, column{head: "VALUE", path: "value"}, column{head: "OUTCOME", path: "outcome"})
}
