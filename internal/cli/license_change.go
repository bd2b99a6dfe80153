package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// changeFlags are the flags of a change.
type changeFlags struct {
	plan, channel, revision, edition              string
	reason, until, below, payment                 string
	follow, atRenewal                             bool
	addons, remove, features, pools, meters, drop []string
	capacity                                      []string
}

func (c *cli) licenseChangeCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "change LICENSE",
		Short: "Change a license's plan, add-ons, capacity, exceptions or payment, now or at renewal",
		Long: `Change moves a license to another plan or edition, adds or removes add-ons, sets the
number of units bought, or grants an exception. An exception changes a feature's value,
a pool's capacity or a meter's quota. It needs a reason and can have an end date.

If the change would grant fewer units than are held, --below decides: refuse the change,
drain (holders keep their units, and nothing new is granted) or use the overdraft.

A change of payment takes effect at once, even with --at-renewal. An unpaid license stays
in force but is not renewed.`,
		Example: `  copyhold license change lic_01jd0000000000000000000000 --plan team --at-renewal
  copyhold license change lic_01jd0000000000000000000000 --addon seats-5=2
  copyhold license change lic_01jd0000000000000000000000 --pool seats=+3 --until 2027-01-31 --reason 'release week'
  copyhold license change lic_01jd0000000000000000000000 --capacity seats=1 --below drain
  copyhold license change lic_01jd0000000000000000000000 --payment unpaid`,
		Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.request()
			if err != nil {
				return usageError(cmd, "%v", err)
			}
			return c.act(cmd, args[0], "change", change)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.plan, "plan", "", "move the license to this plan")
	flags.StringVar(&f.channel, "channel", "", "follow this channel")
	flags.StringVar(&f.revision, "revision", "", "pin the license to this revision")
	flags.StringVar(&f.edition, "edition", "", "switch to this edition of the plan")
	flags.BoolVar(&f.follow, "follow", false, "unpin the license, so that it follows its channel again")
	flags.StringArrayVar(&f.addons, "addon", nil, "add an add-on: NAME or NAME=QUANTITY; repeatable")
	flags.StringArrayVar(&f.remove, "remove-addon", nil, "remove an add-on; repeatable")
	fills(flags, "remove-addon", "remove")
	flags.StringArrayVar(&f.capacity, "capacity", nil, "pool capacity that replaces the plan's, for example seats=10; repeatable")
	flags.StringArrayVar(&f.features, "feature", nil, "exception for a feature: NAME=VALUE, or NAME= to remove the feature; repeatable")
	flags.StringArrayVar(&f.pools, "pool", nil, "exception for a pool's capacity, for example NAME=10 or NAME=+2; repeatable")
	flags.StringArrayVar(&f.meters, "meter", nil, "exception for a meter's quota, in the meter's unit, for example NAME=5000 or NAME=+12.5; repeatable")
	flags.StringArrayVar(&f.drop, "remove-exception", nil, "remove the exception with this id; repeatable")
	flags.StringVar(&f.payment, "payment", "", "paid or unpaid; an unpaid license is not renewed")
	flags.StringVar(&f.reason, "reason", "", "reason for the change; required for an exception")
	flags.StringVar(&f.until, "until", "", "end date of the exceptions, for example 2027-01-31")
	flags.BoolVar(&f.atRenewal, "at-renewal", false, "apply the change at the next renewal")
	fills(flags, "at-renewal", "when")
	flags.StringVar(&f.below, "below", "refuse", "what to do if more units are held than would remain: refuse, drain or overdraft")
	return cmd
}

// A changeRequest is the request body of a change.
type changeRequest struct {
	licensing.Change
	Capacity map[string]int64  `json:"capacity,omitempty"`
	Payment  licensing.Payment `json:"payment,omitempty"`
	Reason   string            `json:"reason,omitempty"`
}

func (f changeFlags) request() (changeRequest, error) {
	c := changeRequest{Reason: f.reason, Payment: licensing.Payment(f.payment), Change: licensing.Change{
		Plan: licensing.PlanName(f.plan), Channel: f.channel, Revision: licensing.RevisionID(f.revision), Follow: f.follow, Edition: f.edition,
		Remove: f.remove, When: licensing.ChangeNow, Below: licensing.Below(f.below),
	}}
	if f.atRenewal {
		c.When = licensing.ChangeAtRenewal
	}
	for _, id := range f.drop {
		c.RemoveExceptions = append(c.RemoveExceptions, licensing.ExceptionID(id))
	}
	var err error
	if c.Add, err = parseGrants(f.addons); err != nil {
		return c, err
	}
	if c.Capacity, err = parseCapacity(f.capacity); err != nil {
		return c, err
	}
	if c.Except, err = f.exceptions(); err != nil {
		return c, err
	}
	if f.isEmpty() {
		return c, fmt.Errorf("no changes specified")
	}
	return c, nil
}

func (f changeFlags) isEmpty() bool {
	lists := len(f.addons) + len(f.remove) + len(f.features) + len(f.pools) + len(f.meters) + len(f.drop) + len(f.capacity)
	return lists == 0 && !f.follow && f.plan == "" && f.channel == "" && f.revision == "" && f.edition == "" && f.payment == ""
}

func (f changeFlags) exceptions() ([]licensing.Exception, error) {
	var all []licensing.Exception
	for _, text := range f.features {
		name, value, _ := strings.Cut(text, "=")
		all = append(all, licensing.Exception{Feature: name, Value: featureValue(value)})
	}
	for _, text := range f.pools {
		name, adjust, err := parseAdjustment(text, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, licensing.Exception{Pool: name, Adjust: adjust})
	}
	for _, text := range f.meters {
		_, decimals, _ := strings.Cut(text, ".")
		scale := len(decimals)
		name, adjust, err := parseAdjustment(text, scale)
		if err != nil {
			return nil, err
		}
		all = append(all, licensing.Exception{Meter: name, Adjust: adjust, Scale: &scale})
	}
	if len(all) > 0 && f.reason == "" {
		return nil, fmt.Errorf("an exception requires --reason")
	}
	for i := range all {
		all[i].Reason = f.reason
		if f.until == "" {
			continue
		}
		until, err := licensing.ParseDate(f.until)
		if err != nil {
			return nil, fmt.Errorf("--until: %w", err)
		}
		all[i].Until = until
	}
	return all, nil
}

// featureValue parses true, false, a whole number or a string; an empty string is no value.
func featureValue(text string) license.Value {
	switch text {
	case "":
		return license.Value{}
	case "true", "false":
		return license.BoolValue(text == "true")
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return license.IntValue(n)
	}
	return license.TextValue(text)
}

// parseAdjustment parses NAME=10, NAME=+2 or NAME=-2, with scale decimal places.
func parseAdjustment(text string, scale int) (string, licensing.Adjustment, error) {
	name, number, _ := strings.Cut(text, "=")
	n, err := licensing.ParseQuantity(strings.TrimPrefix(number, "+"), scale)
	if name == "" || err != nil {
		return "", licensing.Adjustment{}, fmt.Errorf("%q is not NAME=10, NAME=+2 or NAME=-2", text)
	}
	return name, licensing.Adjustment{Add: number[0] == '+' || number[0] == '-', Amount: n}, nil
}

func (c *cli) licenseExtendCommand() *cobra.Command {
	var until, by, reason string
	many := newBulk(licensing.JobExtend, "extended", "until")
	cmd := &cobra.Command{
		Use:   "extend [LICENSE]",
		Short: "Move a license's end date without renewing the license",
		Long:  "Extend moves the end of a license and changes nothing else.\n\n" + bulkHelp("until"),
		Example: `  copyhold license extend lic_01jd0000000000000000000000 --by 14d --reason 'purchase order on its way'
  copyhold license extend lic_01jd0000000000000000000000 --until 2027-03-31 --reason 'as agreed'
  copyhold license extend --filter customer=cus_01jd0000000000000000000000,status=active --by 14d`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"reason": reason}
			switch {
			case by != "" && until != "" || by == "" && until == "" && many.file == "":
				return usageError(cmd, "specify either --by or --until")
			case by == "" && until == "": // the file has the dates
			case by != "":
				body["by"] = by
			default:
				when, err := licensing.ParseDate(until)
				if err != nil {
					return usageError(cmd, "--until: %v", err)
				}
				body["until"] = when
			}
			if many.many() {
				return many.run(cmd, c, body)
			}
			return c.act(cmd, args[0], "extend", body)
		},
	}
	many.flags(cmd)
	cmd.Flags().StringVar(&by, "by", "", "how much longer, for example 14d or 1mo")
	cmd.Flags().StringVar(&until, "until", "", "new end date, for example 2027-03-31")
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	return cmd
}

func (c *cli) licenseRenewCommand() *cobra.Command {
	var after string
	var paid bool
	many := newBulk(licensing.JobRenew, "renewed", "after")
	cmd := &cobra.Command{
		Use:   "renew [LICENSE]",
		Short: "Renew a license for its next term",
		Long: `Renew adds one term after the current one, which --after identifies by its end. You can
repeat the command safely: each term is renewed only once. Without --after, renew shows
the current term and asks for confirmation.

The license keeps granting the same until the current term ends. Changes scheduled for
the renewal take effect then, or at once if the term is already over.

If you renew many licenses, --after is not used: each gets one term after its current one.
If you repeat the command, it adds another term, so select them with ends-before.

` + bulkHelp("after"),
		Example: `  copyhold license renew lic_01jd0000000000000000000000 --after 2027-01-31
  copyhold license renew lic_01jd0000000000000000000000 --after 2027-01-31T09:30:00Z --paid
  copyhold license renew --filter plan=studio,ends-before=2027-02-01 --paid`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if many.many() && after != "" {
				return usageError(cmd, "--after is for one license; a file can have the column after")
			}
			if many.many() {
				return many.run(cmd, c, map[string]any{"paid": paid})
			}
			end, err := c.termToRenew(cmd, args[0], after)
			if err != nil {
				return err
			}
			return c.act(cmd, args[0], "renew", map[string]any{"after": end, "paid": paid})
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "end of the term to renew, for example 2027-01-31 or 2027-01-31T09:30:00Z")
	cmd.Flags().BoolVar(&paid, "paid", false, "mark the license as paid; required to renew an unpaid license")
	many.flags(cmd)
	return cmd
}

// termToRenew returns the end of the term that after identifies, by a time or by the day on
// which the current term or an earlier one ends. Without after, it asks for confirmation.
func (c *cli) termToRenew(cmd *cobra.Command, id, after string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, after); err == nil {
		return at, nil
	}
	var day time.Time
	if after != "" {
		var err error
		if day, err = licensing.ParseDate(after); err != nil {
			return day, usageError(cmd, "--after: %v", err)
		}
	}
	now, err := c.licenseNow(cmd.Context(), id)
	if err != nil {
		return day, err
	}
	l := licensing.License(now.License)
	if after != "" {
		return l.TermEndingOn(day)
	}
	question := fmt.Sprintf("The current term of license %s began at %s and ends at %s. Renew the license?", l.ID, l.Began().Format(time.RFC3339), l.EndWords())
	return l.ThisEnd(), c.agreed(question, "--after "+l.ThisEnd().Format(time.RFC3339))
}

func (c *cli) licenseTurnCommand(verb, short, because string, many *bulk) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   verb + " [LICENSE]",
		Short: short,
		Long:  short + ".\n\n" + bulkHelp(""),
		Example: "  copyhold license " + verb + " lic_01jd0000000000000000000000 --reason '" + because + "'\n" +
			"  copyhold license " + verb + " --file licenses.csv --reason '" + because + "'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if many.many() {
				return many.run(cmd, c, map[string]any{"reason": reason})
			}
			return c.act(cmd, args[0], verb, map[string]any{"reason": reason})
		},
	}
	many.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	return cmd
}

func (c *cli) licenseRevokeCommand() *cobra.Command {
	var reason string
	var fallback, yes bool
	cmd := &cobra.Command{
		Use:   "revoke LICENSE",
		Short: "End a license permanently",
		Long: `Revoke ends a license permanently. To stop a license temporarily, use copyhold license
suspend instead. If you revoke a license again, nothing changes and the first reason is
kept.`,
		Example: `  copyhold license revoke lic_01jd0000000000000000000000 --reason 'key published'
  copyhold license revoke lic_01jd0000000000000000000000 --reason 'ended by agreement' --fallback --yes`,
		Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"reason": reason}
			if fallback {
				body["fallback"] = true
			}
			l, err := c.licenseNow(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			question := fmt.Sprintf("License %s (plan %s, customer %s) will end permanently; a suspension could be undone. Revoke it?", l.ID, l.Plan, cmp.Or(l.CustomerName, string(l.Customer)))
			if err := c.confirm(yes || l.Status == licensing.Revoked, question); err != nil {
				return err
			}
			return c.actOn(cmd, l, "revoke", body)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&fallback, "fallback", false, "let programs with this license keep the plan's fallback features; they get no units")
	return cmd
}

func (c *cli) licenseRotateCommand() *cobra.Command {
	var overlap string
	var yes bool
	var file target
	cmd := &cobra.Command{
		Use:   "rotate-key LICENSE",
		Short: "Create a new license key; the old keys expire after an overlap",
		Example: `  copyhold license rotate-key lic_01jd0000000000000000000000 --overlap 7d --to acme-2.key
  copyhold license rotate-key lic_01jd0000000000000000000000 --yes`,
		Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, end := map[string]any{}, "at once; programs that use them are refused until they have the new key"
			if overlap != "" {
				body["overlap"] = overlap
				end = "in " + overlap
			}
			if err := c.confirm(yes, fmt.Sprintf("The current keys of license %s expire %s. Create a new key?", args[0], end)); err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: licensePath(args[0], "keys"), Body: body})
			if err != nil {
				return err
			}
			return c.printNewKey(a, file)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().StringVar(&overlap, "overlap", "", "how long the old keys continue to work, for example 7d; by default they expire now")
	file.flags(cmd, forOwner, "write the key to this file, which only you can read")
	return cmd
}

func (c *cli) licenseTransferCommand() *cobra.Command {
	var customer string
	cmd := &cobra.Command{
		Use:     "transfer LICENSE",
		Short:   "Transfer a license to another customer",
		Example: "  copyhold license transfer lic_01jd0000000000000000000000 --customer cus_01jd0000000000000000000001",
		Args:    exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd, args[0], "transfer", map[string]any{"customer": customer})
		},
	}
	cmd.Flags().StringVar(&customer, "customer", "", "customer who gets the license")
	required(cmd, "customer")
	return cmd
}
