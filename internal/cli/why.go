package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func (c *cli) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why ID",
		Short: "Explain the state of a license, or a decision or log entry by its id",
		Long: `Why shows what was decided, by which rule, and what happens next and when. For a denial,
it also shows who holds the units and when one frees up. ID is any id that an answer or a
log shows:

- a license, a license key or its digest in a license document, a lease or a ticket;
- a request: the id that the program chose, the nonce of a validation, or the server's
  own id, which every answer has in X-Request-Id and every denial in request_id;
- a usage event, or the request of a batch to see all the events in it;
- a log entry, by its index, hash or id. Why searches the log for any other id; this
  needs a token that may read the log.

For a license, why shows what is held and used now, and whether one more unit would be
granted. A license that is not in force grants nothing at all. If an exception decides,
why names it.

Grants are kept for a day after their lease ends. If one holder is denied several times
in a minute for the same reason, the first denial is kept for 30 days and the others are
counted: about a dozen of their ids, the latest ones, are kept for a day, with the time
and decision of the first. Usage events are kept for 60 days, and refused ones for 30.`,
		Example: `  copyhold why lic_01jd0000000000000000000000
  copyhold why req_01jd0000000000000000000000 --output json`,
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/why/" + url.PathEscape(args[0])
			if strings.HasPrefix(args[0], "lic_") {
				path = "/v1/licenses/" + url.PathEscape(args[0]) + "/why"
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: path})
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.Body)
			}
			return c.explain(a.Body)
		},
	}
}
