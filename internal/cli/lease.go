package cli

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
	"copyhold.dev/sdk/license"
)

func leaseColumns() []column {
	return []column{
		{head: "LEASE", path: "id"}, {head: "LICENSE", path: "license"}, {head: "CUSTOMER", path: "customer_name"}, {head: "POOL", path: "pool"},
		{head: "HOLDER", path: "holder", as: holderText}, {head: "NAME", path: "holder.name", rare: true},
		{head: "INSTANCE", path: "instance"}, {head: "UNITS", path: "units"}, {head: "GENERATION", path: "generation"},
		{head: "SINCE", path: "begun"}, {head: "ENDS", path: "ends"},
		{head: "ENDED BY FORCE", path: "forced", rare: true}, {head: "RECALLED", path: "recalled", rare: true}, {head: "STOPS", path: "until", rare: true},
		{head: "SERVICE", path: "service", rare: true}, {head: "VERSION", path: "version", rare: true}, {head: "REGION", path: "region", rare: true},
	}
}

// holderText writes a holder in the form that people type.
func holderText(value any) string {
	h, ok := value.(map[string]any)
	if !ok {
		return plain(value)
	}
	if kind, _ := h["kind"].(string); kind != "" {
		return kind + ":" + plain(h["id"])
	}
	return plain(h["id"])
}

func (c *cli) leaseCommand() *cobra.Command {
	return group("lease", "Acquire, list, renew and release leases on a pool's units", "  copyhold lease list",
		c.listCommand(listing{
			use: "list", short: "List leases and their holders", path: "/v1/leases", as: client.ByToken, columns: leaseColumns(),
			example: "  copyhold lease list\n  copyhold lease list --license lic_01jd0000000000000000000000 --pool seats",
			filters: []filter{
				{"license", "only leases of this license"}, {"pool", "only leases of this pool"}, {"customer", "only leases of this customer"},
				{"product", "only leases of this product"}, {"holder", "only leases of this holder, in the form that the list shows: KIND:ID, or only ID"},
			},
		}),
		c.leaseAcquireCommand(), c.leaseRenewCommand(), c.leaseReleaseCommand(), c.leaseRecallCommand(),
	)
}

func (c *cli) leaseAcquireCommand() *cobra.Command {
	var want seat.Request
	cmd := &cobra.Command{
		Use:   "acquire --pool POOL",
		Short: "Take units of a pool, using a license key",
		Long: `Acquire takes units of a pool until the lease ends or is released. Repeating the same
--request-id returns the same lease. Exit status 3: denied; 75: no unit became free in
time, or no server answered.`,
		Aliases: []string{"checkout", "activate"},
		Example: `  copyhold lease acquire --pool seats --holder ann --key-file ./license.key
  copyhold lease acquire --pool seats --holder bob --wait 10m --output json
  copyhold lease acquire --pool cores --units 8 --holder workload:render-3 --for 8h
  copyhold lease acquire --pool machines --holder machine:cell-4 --component board=9f2c,drive=77ab`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if want.RequestID == "" {
				want.RequestID = seat.NewRequestID()
			}
			if want.Instance == "" {
				want.Instance = seat.HostName()
			}
			want = c.completed(want)
			server, err := c.client(client.ByKey)
			if err != nil {
				return err
			}
			got, err := seat.Acquire(cmd.Context(), server, want, func(text string) {
				if !c.asJSON() {
					c.sayf("copyhold: %s", text)
				}
			})
			if e := (*client.Error)(nil); errors.As(err, &e) && got.Body != nil && c.asJSON() { // a fallback, or a place in the queue
				return errors.Join(c.printJSON(got.Body), &exit{status: int(e.Kind)})
			}
			if err != nil {
				return c.refusedSeat(err)
			}
			return c.printSeat(got)
		},
	}
	c.seatFlags(cmd, &want)
	cmd.Flags().StringVar(&want.RequestID, "request-id", "", "id of this request, so that you can repeat it; default: a new id")
	cmd.Flags().StringVar(&want.Instance, "instance", "", "instance of the holder that takes the lease; default: this machine")
	return cmd
}

// printSeat prints a granted lease. For people, it also prints when the lease ends, which is
// in the signed document.
func (c *cli) printSeat(a client.Answer) error {
	if c.asJSON() {
		return c.printJSON(a.Body)
	}
	var r record
	var granted seat.Seat
	if err := errors.Join(readRecord(a.Body, &r), a.Decode(&granted)); err != nil {
		return err
	}
	dates := granted.Dates()
	ends := time.Unix(dates.Expires, 0).UTC().Format(time.RFC3339)
	switch {
	case dates.Expires == 0:
	case dates.Instance == "": // a lease without end belongs to the holder, not to an instance
		r["until"] = "released; signed copy valid until " + ends
	default:
		r["until"] = ends + " unless renewed"
	}
	c.printFields(r,
		column{head: "LEASE", path: "id"}, column{head: "GENERATION", path: "generation"}, column{head: "UNTIL", path: "until"},
		column{head: "DECISION", path: "decision.code"}, column{head: "REASON", path: "decision.reason"},
		column{head: "TICKET", path: "ticket"})
	return nil
}

// refusedSeat prints a denial's decision for programs. The error contains the text for people.
func (c *cli) refusedSeat(err error) error {
	if d := deniedDecision(err); d != nil && c.asJSON() {
		if failed := c.printJSON(map[string]any{"decision": d}); failed != nil {
			return failed
		}
		return &exit{status: exitDenied}
	}
	return err
}

func (c *cli) leaseRenewCommand() *cobra.Command {
	var r seat.Renewal
	cmd := &cobra.Command{
		Use:     "renew LEASE",
		Short:   "Renew a lease, using the license key that acquired it",
		Example: "  copyhold lease renew lse_01jd0000000000000000000000 --generation 1 --key-file ./license.key",
		Args:    exactly("LEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Nonce, r.Caller = rand.Text(), c.caller(r.Caller)
			a, err := c.do(cmd.Context(), r.Call(args[0]))
			if err != nil {
				return c.refusedSeat(err)
			}
			return c.printSeat(a)
		},
	}
	cmd.Flags().Int64Var(&r.Generation, "generation", 1, "the lease's generation, printed by acquire")
	secondsVar(cmd.Flags(), &r.For, "for", "borrow it for this long, for example 8h")
	cmd.Flags().StringVar(&r.Lease, "document", "", "the signed lease that acquire returned, for a restored server that does not know the lease")
	fills(cmd.Flags(), "document", "lease")
	callerFlags(cmd.Flags(), &r.Caller)
	return cmd
}

func (c *cli) leaseReleaseCommand() *cobra.Command {
	var generation int64
	var force bool
	cmd := &cobra.Command{
		Use:   "release LEASE",
		Short: "Release a lease; with --force and a token, another holder's lease",
		Long: `Release returns the units to the pool. With --force, an administrator releases a lease
that someone else holds. The signed lease remains valid for its holder until it expires,
so the answer shows when the units can be granted again.`,
		Aliases: []string{"checkin", "deactivate"},
		Example: `  copyhold lease release lse_01jd0000000000000000000000 --generation 1 --key-file ./license.key
  copyhold lease release lse_01jd0000000000000000000000 --force --token-file ./admin.token`,
		Args: exactly("LEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := client.Call{As: client.ByKey, Method: http.MethodDelete, Path: "/v1/leases/" + url.PathEscape(args[0])}
			if force {
				r.As, r.Query = client.ByToken, url.Values{"force": {"true"}}
			} else {
				r.Query = c.caller(seat.Caller{}).Query()
				r.Query.Set("generation", strconv.FormatInt(generation, 10))
			}
			return c.ask(cmd.Context(), r, column{head: "LEASE", path: "id"}, column{head: "FREE AT", path: "free_at", as: unixTime})
		},
	}
	cmd.Flags().Int64Var(&generation, "generation", 1, "the lease's generation, printed by acquire")
	cmd.Flags().BoolVar(&force, "force", false, "release another holder's lease")
	return cmd
}

// deniedDecision returns the decision in err if err is a denial, or else nil.
func deniedDecision(err error) *license.Decision {
	if p, ok := client.AsProblem(err); ok && client.KindOf(p) == client.Denied {
		return p.Decision
	}
	return nil
}
