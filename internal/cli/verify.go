package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/sdk/license"
)

func (c *cli) verifyCommand() *cobra.Command {
	var product, at string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a license file offline, from a pinned root set alone",
		Long: `Verify reads a license file (JSON or armour; - is standard input), checks every
signature from the pinned root set down, and prints what it grants and each date of
its ladder. It asks no server and believes nothing in the file that is not signed.

Exit status: 0 genuine and usable; 3 genuine, but it grants nothing at that time;
4 not genuine.`,
		Example: `  copyhold verify acme.license --root-set root-set.json
  copyhold verify acme.license --root-set root-set.json --at 2027-01-31T00:00:00Z`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			if at != "" {
				var err error
				if now, err = time.Parse(time.RFC3339, at); err != nil {
					return usageError(cmd, "--at is a time as 2006-01-02T15:04:05Z")
				}
			}
			s, err := c.settings(anonymous)
			if err != nil {
				return err
			}
			if s.rootSet.value == "" {
				return usageError(cmd, "name the pinned root set with --root-set or COPYHOLD_ROOT_SET_FILE")
			}
			pinned, err := readRootSet(s.rootSet.value)
			if err != nil {
				return err
			}
			text, err := c.readInput(args[0])
			if err != nil {
				return err
			}
			doc, err := verifyFile(text, pinned, product, now.Unix())
			if err != nil {
				return refusedDocument(args[0], err)
			}
			return c.printVerified(doc, now)
		},
	}
	cmd.Flags().StringVar(&product, "product", "", "refuse a license for another product")
	cmd.Flags().StringVar(&at, "at", "", "judge the dates at this time instead of now")
	return cmd
}

// readRootSet reads a root set as the server publishes it: a list of compact
// documents, or an object that holds one. A license file may hold one too, which
// would vouch for itself.
func readRootSet(name string) ([]string, error) {
	text, err := readFile(name, maxSmallFile)
	if err != nil {
		return nil, err
	}
	var set struct {
		Documents []string `json:"rootset"`
		License   string   `json:"doc"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		err = json.Unmarshal(text, &set.Documents)
	} else {
		err = json.Unmarshal(text, &set)
	}
	if err != nil || len(set.Documents) == 0 {
		return nil, exitf(exitUsage, "%s does not hold a root set", name)
	}
	if set.License != "" {
		return nil, exitf(exitUsage, "%s is a license file, which proves nothing about itself: pin what copyhold signing-key root show --to FILE wrote", name)
	}
	return set.Documents, nil
}

// verifyFile verifies a license file; an empty product accepts any.
func verifyFile(text []byte, pinned []string, product string, now int64) (*license.License, error) {
	bundle, err := license.DecodeBundle(text)
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
	if trusted, err = trusted.WithBundle(bundle, now); err != nil {
		return nil, err
	}
	return trusted.License(bundle.Doc, now)
}

// refusedDocument tells apart what is not genuine and what is only not in force.
func refusedDocument(name string, err error) error {
	if e := (*exit)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, license.ErrExpired) || errors.Is(err, license.ErrNotYet) {
		return exitf(exitDenied, "%s: genuine, but not in force: %w", name, err)
	}
	return exitf(exitTampered, "%s: not genuine: %w", name, err)
}

// A rung is one state of the ladder and when it begins, in RFC 3339.
type rung struct {
	State license.State `json:"state"`
	From  string        `json:"from"`
}

func ladder(doc *license.License) []rung {
	at := func(s license.State, t int64) rung { return rung{s, time.Unix(t, 0).UTC().Format(time.RFC3339)} }
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

// printFeatures lists every feature and what it is worth in this standing.
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
