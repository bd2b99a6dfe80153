package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
)

// do sends one call to the server in the settings.
func (c *cli) do(ctx context.Context, r client.Call) (client.Answer, error) {
	server, err := c.client(r.As)
	if err != nil {
		return client.Answer{}, err
	}
	return server.Do(ctx, r)
}

// ask sends one call and prints the object in the answer.
func (c *cli) ask(ctx context.Context, r client.Call, columns ...column) error {
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if len(a.Body) == 0 {
		return nil
	}
	return c.printRecord(a.Body, columns...)
}

// A listing declares a command that prints a list.
type listing struct {
	use, short, example, path string
	as                        client.Credential
	filters, switches         []filter
	columns                   []column
}

// A filter is a flag that becomes a query parameter. A switch is a filter without a value,
// which becomes true.
type filter struct{ name, usage string }

// isTime reports whether a filter's value is a time, judging by its name.
func (f filter) isTime() bool {
	return f.name == "since" || f.name == "until" || strings.HasSuffix(f.name, "-before")
}

// query returns the given filters as query parameters.
func (l listing) query(cmd *cobra.Command) (url.Values, error) {
	query := url.Values{}
	for _, f := range l.filters {
		value, _ := cmd.Flags().GetString(f.name)
		if value == "" {
			continue
		}
		if f.isTime() {
			when, err := licensing.ParseDate(value)
			if err != nil {
				return nil, usageError(cmd, "--%s: %v", f.name, err)
			}
			value = when.UTC().Format(time.RFC3339Nano)
		}
		query.Set(strings.ReplaceAll(f.name, "-", "_"), value)
	}
	for _, f := range l.switches {
		if given, _ := cmd.Flags().GetBool(f.name); given {
			query.Set(f.name, "true")
		}
	}
	return query, nil
}

func (c *cli) listCommand(l listing) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: l.use, Short: l.short, Example: l.example, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError(cmd, "--limit must not be negative")
			}
			query, err := l.query(cmd)
			if err != nil {
				return err
			}
			server, err := c.client(l.as)
			if err != nil {
				return err
			}
			p, err := server.List(cmd.Context(), client.Call{As: l.as, Method: http.MethodGet, Path: l.path, Query: query}, limit)
			if err != nil {
				return err
			}
			return c.printList(p, l.columns...)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "maximum number to show; 0 shows all")
	for _, f := range l.filters {
		cmd.Flags().String(f.name, "", f.usage)
	}
	for _, f := range l.switches {
		cmd.Flags().Bool(f.name, false, f.usage)
	}
	return cmd
}

// showCommand prints one object by its name or id.
func (c *cli) showCommand(noun, short, example, path string, columns ...column) *cobra.Command {
	return &cobra.Command{
		Use: "show " + noun, Short: short, Example: example, Args: exactly(noun),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: path + "/" + url.PathEscape(args[0])}, columns...)
		},
	}
}

// deleteCommand removes one object by its name or id.
func (c *cli) deleteCommand(use, noun, short, example, path string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: use + " " + noun, Short: short, Example: example, Args: exactly(noun),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(yes, fmt.Sprintf("Permanently %s %s %s?", use, strings.ToLower(noun), args[0])); err != nil {
				return err
			}
			err := c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodDelete, Path: path + "/" + url.PathEscape(args[0])})
			return c.done(err, "%sd %s", use, args[0])
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

// done prints a line for people if there was no error.
func (c *cli) done(err error, format string, args ...any) error {
	if err == nil && !c.asJSON() {
		c.printf(format+"\n", args...)
	}
	return err
}

// note prints one of several lines for people.
func (c *cli) note(format string, args ...any) { _ = c.done(nil, format, args...) }

// patch returns the members to change: those whose flags were given.
func patch(cmd *cobra.Command, members map[string]string) map[string]any {
	changes := map[string]any{}
	for flag, member := range members {
		if cmd.Flags().Changed(flag) {
			value, _ := cmd.Flags().GetString(flag)
			set(changes, member, value)
		}
	}
	return changes
}

// set sets the value at a path of member names joined by dots.
func set(object map[string]any, path string, value any) {
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		object[first] = value
		return
	}
	inner, ok := object[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[first] = inner
	}
	set(inner, rest, value)
}
