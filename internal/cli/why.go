package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func (c *cli) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why LICENSE|REQUEST-ID",
		Short: "Explain a license's standing, or the decision on one request",
		Long: `Why says what was decided and by which rule, what happens next and when; of a
denial also who holds the units and when one will be free. A validation is named by its
nonce.

A grant is known for a day after its lease. Of denials of one holder for one reason in
one minute the first is known for 30 days. The others are counted: the ids of the last
dozen or so are known for a day, with the time and decision of the first.`,
		Example: `  copyhold why lic_01jd0000000000000000000000
  copyhold why req_FZ5RA2J3YXW6W5VXSG3JXJWB4K --output json`,
		Args: exactly("LICENSE or REQUEST-ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/why/" + url.PathEscape(args[0])
			if strings.HasPrefix(args[0], "lic_") {
				path = "/v1/licenses/" + url.PathEscape(args[0]) + "/why"
			}
			a, err := c.do(cmd.Context(), call{as: byToken, method: http.MethodGet, path: path})
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.body)
			}
			return c.explain(a.body)
		},
	}
}
