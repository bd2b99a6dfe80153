package cli

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

func (c *cli) licenseExportCommand() *cobra.Command {
	var format, machine string
	var components map[string]string
	var file target
	cmd := &cobra.Command{
		Use:   "export LICENSE",
		Short: "Write a license file for an offline machine, valid until the end of the term",
		Long: `Export writes a license file. It contains the license, valid to the end of its term, and
the keys needed to verify it from the pinned root set. Export also prints until when
programs accept the file. For a long or perpetual term, that is before the term ends,
because a signing key is trusted for ten years. Export such a license again before then.

If a trial is limited to one per machine, its file is for one machine. Identify the
machine with --machine and --component. The SDK function copyhold.DefaultHolder computes
both on that machine.`,
		Example: `  copyhold license export lic_01jd0000000000000000000000 --to acme.license
  copyhold license export lic_01jd0000000000000000000000 --format armour
  copyhold license export lic_01jd0000000000000000000000 --machine cell-4 --component board=9f2c,drive=77ab --to cell-4.license`,
		Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "json" && format != "armour" {
				return usageError(cmd, "--format must be json or armour")
			}
			query := url.Values{"format": {format}}
			if machine != "" {
				query.Set("machine", machine)
			}
			for _, name := range sortedKeys(components) {
				query.Add("component", name+"="+components[name])
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: licensePath(args[0], "export"), Query: query})
			if err != nil {
				return err
			}
			if !file.given() {
				_, err = c.program.Stdout.Write(a.Body)
				return err
			}
			until, err := acceptedUntil(a.Body)
			if err != nil {
				return err
			}
			return c.done(file.write(a.Body), "wrote the license file to %s\n%s", file.name, until)
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", "json, or armour for email")
	cmd.Flags().StringVar(&machine, "machine", "", "machine that the file is for, if the trial is limited to one per machine")
	cmd.Flags().StringToStringVar(&components, "component", nil, "component of the machine: NAME=HASH; repeatable")
	file.flags(cmd, forAll, "write the license file to this file")
	return cmd
}

// acceptedUntil describes until when programs accept a license file, and whether that is
// before the license ends.
func acceptedUntil(file []byte) (string, error) {
	b, err := license.DecodeBundle(file)
	if err != nil {
		return "", fmt.Errorf("reading the server's license file: %w", err)
	}
	doc, err := unverified(b.Doc)
	if err != nil {
		return "", fmt.Errorf("reading the server's license file: %w", err)
	}
	text := fmt.Sprintf("programs accept it until %s, with full function until %s", utc(doc.Degraded), utc(doc.Expires))
	switch {
	case doc.Term.End == 0:
		text += "; the license has no end date, so export it again before then"
	case doc.Due < doc.Term.End:
		text += fmt.Sprintf("; the term ends at %s, so export it again before then", utc(doc.Term.End))
	}
	return text, nil
}
