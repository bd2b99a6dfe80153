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
		Short: "Write a license file for a machine without network, good to the end of the term",
		Long: `Export writes a license file: the license to the end of its term, with what it takes to
verify it from the pinned root set. It prints until when programs accept the file. That is
before the end of a long or perpetual term, because the key that signs is trusted for ten
years: export such a license again before then.

The file of a trial that each machine has once is for one machine. --machine names it, and
--component its components, as copyhold.DefaultHolder of the SDK computes them there.`,
		Example: `  copyhold license export lic_01jd0000000000000000000000 --to acme.license
  copyhold license export lic_01jd0000000000000000000000 --format armour
  copyhold license export lic_01jd0000000000000000000000 --machine cell-4 --component board=9f2c,drive=77ab --to cell-4.license`,
		Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "json" && format != "armour" {
				return usageError(cmd, "--format is json or armour")
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
			return c.done(file.write(a.Body), "license file written to %s\n%s", file.name, until)
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", "json, or armour for mail")
	cmd.Flags().StringVar(&machine, "machine", "", "the machine that the file is for, of a trial that each machine has once")
	cmd.Flags().StringToStringVar(&components, "component", nil, "of the machine: NAME=HASH; repeatable")
	file.flags(cmd, forAll, "write it to this file")
	return cmd
}

// acceptedUntil says until when programs accept a license file that the server has just
// written, and whether that is before the license ends.
func acceptedUntil(file []byte) (string, error) {
	b, err := license.DecodeBundle(file)
	if err != nil {
		return "", fmt.Errorf("reading the server's license file: %w", err)
	}
	doc, err := unverified(b.Doc)
	if err != nil {
		return "", fmt.Errorf("reading the server's license file: %w", err)
	}
	text := fmt.Sprintf("accepted until %s, with full function until %s", utc(doc.Degraded), utc(doc.Expires))
	switch {
	case doc.Term.End == 0:
		text += "; the license has no end: export it again before then"
	case doc.Due < doc.Term.End:
		text += fmt.Sprintf("; its term ends at %s: export it again before then", utc(doc.Term.End))
	}
	return text, nil
}
