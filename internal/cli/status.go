package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "How the server is, and how long until something is denied",
		Long: `Status shows what is held and used, the age of background tasks, and the runway:
the time until something will be denied if nobody acts, with the first cause.`,
		Example: "  copyhold status\n  copyhold status --output json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.ask(cmd.Context(), call{as: byToken, method: http.MethodGet, path: "/v1/status"},
				column{head: "STATUS", path: "status"}, column{head: "VERSION", path: "version"},
				column{head: "RUNWAY", path: "runway.seconds", as: lengthText}, column{head: "FIRST", path: "runway.cause"})
		},
	}
}

// lengthText writes a number of seconds as people say it.
func lengthText(value any) string {
	number, ok := value.(json.Number)
	if !ok {
		return plain(value)
	}
	seconds, err := number.Float64()
	if err != nil {
		return number.String()
	}
	d := time.Duration(seconds) * time.Second
	if d < 24*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
