package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
	"copyhold.dev/sdk/license"
)

func decisionColumns(prefix string) []column {
	columns := []column{
		{head: "OUTCOME", path: "outcome"}, {head: "CODE", path: "code"}, {head: "REASON", path: "reason"}, {head: "RULE", path: "rule"},
		{head: "STATE", path: "state"}, {head: "NEXT", path: "next"}, {head: "NEXT AT", path: "next_at", as: unixTime},
		{head: "HELD", path: "held"}, {head: "CAPACITY", path: "capacity"}, {head: "FREE AT", path: "free_at", as: unixTime},
	}
	for i := range columns {
		columns[i].path = prefix + columns[i].path
	}
	return columns
}

func (c *cli) checkCommand() *cobra.Command {
	var feature, pool, meter, quantity string
	var units int64
	var who seat.Holder
	var by seat.Caller
	cmd := &cobra.Command{
		Use:   "check [FEATURE | --pool POOL | --meter METER]",
		Short: "Check what a license would allow, without taking anything",
		Long: `Check asks the server, with a license key, and changes nothing. Exit status 3: denied;
75: the server is unavailable, or after a restore cannot be certain what is free.`,
		Example: `  copyhold check export --key-file ./license.key
  copyhold check --pool seats --units 2
  copyhold check --meter calls --quantity 100 --output json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && feature == "":
				feature = args[0]
			case len(args) > 0:
				return usageError(cmd, "specify only one feature")
			}
			body := map[string]any{}
			for member, value := range map[string]string{"feature": feature, "pool": pool, "meter": meter} {
				if value != "" {
					body[member] = value
				}
			}
			if len(body) != 1 {
				return usageError(cmd, "specify exactly one feature, --pool or --meter")
			}
			if pool != "" {
				body["units"] = units
			}
			if meter != "" {
				body["quantity"] = quantity
			}
			if who.ID != "" {
				body["holder"] = who
			}
			for member, values := range c.caller(by).Query() {
				body[member] = values[0]
			}
			return c.check(cmd, body)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&feature, "feature", "", "feature to check; same as the argument")
	flags.StringVar(&pool, "pool", "", "check whether this pool has free units")
	flags.StringVar(&meter, "meter", "", "check whether this meter has quota left")
	unitsVar(flags, &units, "units of the pool to check for")
	flags.StringVar(&quantity, "quantity", "1", "quantity of the meter to check for")
	flags.Var(&who, "holder", "holder to check for: KIND:ID, or ID for a user")
	flags.StringVar(&by.Instance, "instance", "", "instance of the holder")
	callerFlags(flags, &by)
	return cmd
}

func (c *cli) check(cmd *cobra.Command, body map[string]any) error {
	a, err := c.do(cmd.Context(), client.Call{As: client.ByKey, Method: http.MethodPost, Path: "/v1/check", Body: body})
	if err != nil {
		return c.refusedSeat(err)
	}
	d, err := client.DecisionOf(a.Body)
	if err != nil {
		return err
	}
	if err := c.printRecord(a.Body, decisionColumns("decision.")...); err != nil {
		return err
	}
	if d.Outcome == license.Denied {
		return &exit{status: exitDenied}
	}
	return nil
}
