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
		Short: "Explain how a license stands, or what an id stands for and what was decided",
		Long: `Why shows what was decided and by which rule, what happens next and when; of a
denial also who holds the units and when one will be free. It takes every id that an
answer or a log shows:

- a license, a license key or its digest in a license document, a lease, a ticket;
- a request: the name that its program gave it, the nonce of a validation, or the
  server's own id, which each answer has in X-Request-Id and each denial in request_id;
- a usage event, each of a batch by itself; the id of the batch's request shows all;
- an entry of the log by its index, its hash or its id. Any other id is looked for in
  the log, which takes a token that may read it.

Of a license it shows what is held and used now, and whether one unit more would be
granted. A license that is not in force grants nothing in any part. Where an exception
decides, it is named.

A grant is known for a day after its lease. Of denials of one holder for one reason in
one minute the first is known for 30 days. The others are counted: the ids of the last
dozen or so are known for a day, with the time and decision of the first. Usage events
are known for 60 days, and refused ones for 30.`,
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
