package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/seat"
	"copyhold.dev/sdk/license"
)

func (c *cli) usageCommand() *cobra.Command {
	return group("usage", "Record and show usage of meters", "  copyhold usage show",
		c.usageRecordCommand(),
		c.listCommand(listing{
			use: "show", short: "Show usage in the current period, by license and meter", path: "/v1/usage", as: client.ByToken,
			example:  "  copyhold usage show\n  copyhold usage show --license lic_01jd0000000000000000000000 --past",
			filters:  []filter{{"license", "only usage of this license"}, {"meter", "only usage of this meter"}, {"customer", "only usage of this customer"}},
			switches: []filter{{"past", "show all stored periods, not only the current ones"}},
			columns: []column{
				{head: "LICENSE", path: "license"}, {head: "CUSTOMER", path: "customer_name"}, {head: "METER", path: "meter"}, {head: "USED", path: "used"}, {head: "QUOTA", path: "quota"},
				{head: "UNIT", path: "unit"}, {head: "FROM", path: "period_start"}, {head: "UNTIL", path: "period_end"},
				{head: "LAST SERVICE", path: "last.service", rare: true}, {head: "VERSION", path: "last.version", rare: true},
				{head: "INSTANCE", path: "last.instance", rare: true}, {head: "REGION", path: "last.region", rare: true},
			},
		}),
	)
}

func (c *cli) usageRecordCommand() *cobra.Command {
	var id, at string
	var by seat.Caller
	cmd := &cobra.Command{
		Use:   "record METER QUANTITY",
		Short: "Record usage, using a license key",
		Long: `Record adds a quantity to a meter. The server recognizes a repeated event by its --id and
counts it only once. Exit status 3: the quota denies it.`,
		Example: `  copyhold usage record calls 1 --key-file ./license.key
  copyhold usage record hours 1.25 --id job-4711 --at 2026-11-22T03:00:00Z`,
		Args: exactly("METER", "QUANTITY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			event := map[string]any{"id": id, "meter": args[0], "quantity": args[1]}
			if id == "" {
				event["id"] = seat.NewRequestID()
			}
			if at != "" {
				when, err := licensing.ParseDate(at)
				if err != nil {
					return usageError(cmd, "--at: %v", err)
				}
				event["at"] = when.Unix()
			}
			return c.recordUsage(cmd, c.caller(by), event)
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the event; default: a new id")
	cmd.Flags().StringVar(&at, "at", "", "time of the event; default: now")
	callerFlags(cmd.Flags(), &by)
	return cmd
}

func (c *cli) recordUsage(cmd *cobra.Command, by seat.Caller, event map[string]any) error {
	body := struct {
		Events []any `json:"events"`
		seat.Caller
	}{[]any{event}, by}
	a, err := c.do(cmd.Context(), client.Call{As: client.ByKey, Method: http.MethodPost, Path: "/v1/usage", Body: body})
	if err != nil {
		return err
	}
	var results struct {
		Results []struct {
			Status   string           `json:"status"`
			Decision license.Decision `json:"decision"`
			Reason   string           `json:"reason"`
		} `json:"results"`
	}
	if err := a.Decode(&results); err != nil {
		return err
	}
	if len(results.Results) != 1 {
		return exitf(exitFailed, "the server returned %d results for one event", len(results.Results))
	}
	r := results.Results[0]
	if c.asJSON() {
		err = c.printJSON(a.Body)
	} else if r.Status != "denied" && r.Status != "invalid" {
		c.printf("%s  %s\n", c.tint(r.Status), r.Decision.Reason)
	}
	switch {
	case err != nil:
		return err
	case r.Status == "denied":
		return exitf(exitDenied, "denied: %s", client.DenialText(r.Decision))
	case r.Status == "invalid":
		return exitf(exitUsage, "%s (%s)", r.Reason, r.Status)
	}
	return nil
}
