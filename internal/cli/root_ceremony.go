package cli

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/signing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

func (c *cli) rootNewCommand() *cobra.Command {
	var file target
	var want signing.RootChoice
	cmd := &cobra.Command{
		Use:   "new --to CEREMONY",
		Short: "Start a ceremony for a new root set, to replace roots or change how many must sign",
		Long: `New creates the file for a ceremony. The server prepares new signing keys for two years;
they sign nothing until the ceremony is complete. Carry the file to the machines that
keep the roots, and follow these steps:

  root new       with the server: define the next root set
  root make      offline: create the new roots
  root sign      offline, once for each file of roots: sign the new root set
  root install   with the server: put the new root set in force

The new root set must be signed by enough roots of the old set, as its threshold
requires, and by enough of its own. Programs that trust the old root set switch to the
new one automatically. Without --keep, every root is replaced.`,
		Example: `  copyhold signing-key root new --to ceremony.json
  copyhold signing-key root new --keep nZ0cXmQ3vVb1... --to ceremony.json
  copyhold signing-key root new --roots 3 --threshold 2 --to ceremony.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if want.Roots < 0 || want.Threshold < 0 {
				return usageError(cmd, "--roots and --threshold must not be negative")
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/root/new", Body: want})
			if err != nil {
				return err
			}
			ceremony, err := signing.ReadRootCeremony(a.Body)
			if err != nil {
				return err
			}
			if err := writeCeremony(file, ceremony); err != nil {
				return err
			}
			next := "copyhold signing-key root make " + file.name + " --to NEW-ROOT.key"
			if ceremony.Roots == 0 {
				next = "copyhold signing-key root sign " + file.name + " --key ROOT.key"
			}
			return c.done(nil, "wrote the ceremony to %s; carry it to an offline machine, then run: %s", file.name, next)
		},
	}
	file.flags(cmd, forAll, "file to write")
	cmd.Flags().StringArrayVar(&want.Keep, "keep", nil, "root to keep, as shown by signing-key list --use root; repeatable")
	cmd.Flags().IntVar(&want.Roots, "roots", 0, "number of new roots; default: as many as are replaced")
	cmd.Flags().IntVar(&want.Threshold, "threshold", 0, "number of roots that must sign a set; default: unchanged")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootMakeCommand() *cobra.Command {
	var file target
	var count int
	cmd := &cobra.Command{
		Use:   "make CEREMONY --to FILE",
		Short: "Create the new roots of a ceremony, offline",
		Long: `Make creates the roots that the ceremony still needs, or as many of them as --count
specifies. It writes their private parts to a new file that only you can read, and adds
the public parts to the ceremony's file. It needs no server. If several people keep
roots, pass the file around: each person creates their own roots in turn.`,
		Example: `  copyhold signing-key root make ceremony.json --to /media/safe/copyhold-root-2.key
  copyhold signing-key root make ceremony.json --count 1 --to /media/mine/root.key`,
		Args: exactly("CEREMONY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usageError(cmd, "--count must not be negative")
			}
			ceremony, err := c.readCeremony(args[0])
			if err != nil {
				return err
			}
			before := len(ceremony.New)
			ceremony, private, err := ceremony.MakeRoots(count)
			if err != nil {
				return err
			}
			if err := file.writeSecret(private.Reveal()); err != nil {
				return err
			}
			if err := writeCeremony(inPlace(args[0]), ceremony); err != nil {
				return err
			}
			for _, k := range ceremony.New[before:] {
				c.note("created root %s", k.Kid)
			}
			return c.done(nil, "wrote the private part to %s; keep it offline, in two places; created %d of %d new roots", file.name, len(ceremony.New), ceremony.Roots)
		},
	}
	file.flags(cmd, forOwner, "file for the private parts, which only you can read")
	cmd.Flags().IntVar(&count, "count", 0, "number of roots to create; default: all that are missing")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootSignCommand() *cobra.Command {
	var file string
	var yes bool
	cmd := &cobra.Command{
		Use:   "sign CEREMONY --key FILE",
		Short: "Sign a new root set with your roots, offline",
		Long: `Sign shows the new root set and its signing keys, and then signs both with every root in
the file. The file must come from root export, from root make, or from a copy of either.
Sign needs no server. Compare the keys shown with those that the other signers see.`,
		Example: `  copyhold signing-key root sign ceremony.json --key /media/safe/copyhold-root.key
  copyhold signing-key root sign ceremony.json --key /media/safe/copyhold-root-2.key --yes`,
		Args: exactly("CEREMONY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ceremony, err := c.readCeremony(args[0])
			if err != nil {
				return err
			}
			text, err := client.ReadText(file, client.MaxSmallFile)
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			ceremony, by, err := ceremony.Sign(signing.NewSecret(text))
			if err != nil {
				return err
			}
			if err := c.showCeremony(ceremony); err != nil {
				return err
			}
			if err := c.confirm(yes, "Programs will trust everything that these roots sign."); err != nil {
				return err
			}
			if err := writeCeremony(inPlace(args[0]), ceremony); err != nil {
				return err
			}
			for _, kid := range by {
				c.note("signed with root %s", kid)
			}
			p, err := ceremony.Progress()
			if err != nil {
				return err
			}
			if p.Complete() {
				return c.done(nil, "the ceremony has all its signatures; next, run: copyhold signing-key root install %s", args[0])
			}
			return c.done(nil, "signatures so far: %d of %d from the old roots, %d of %d from the new root set", p.Old, p.OldNeeded, min(p.New, p.Keys), p.NewNeeded)
		},
	}
	cmd.Flags().StringVar(&file, "key", "", "file with the private parts of your roots")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	required(cmd, "key")
	return cmd
}

func (c *cli) rootInstallCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "install CEREMONY",
		Short: "Put a signed root set in force",
		Long: `Install sends a complete ceremony to the server. The server verifies it, as a program
that trusts the old root set does, and from then on signs with the new keys. Roots that
are not in the new set can no longer sign, and the server destroys any private parts of
them that it has. Programs switch to the new root set at their next refresh. Build new
programs with the root set that root show prints.`,
		Example: "  copyhold signing-key root install ceremony.json",
		Args:    exactly("CEREMONY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ceremony, err := c.readCeremony(args[0])
			if err != nil {
				return err
			}
			if err := c.showCeremony(ceremony); err != nil {
				return err
			}
			if err := c.confirm(yes, "Programs will trust the listed roots and no longer trust any others."); err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/root/install",
				Body: map[string][]string{"rootset": ceremony.RootSet, "keyset": ceremony.KeySet}})
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.Body)
			}
			var in v1.InstalledRootSet
			if err := a.Decode(&in); err != nil {
				return err
			}
			return c.done(nil, "root set %d and key set %d are in force; to pin the root set in new programs, run: copyhold signing-key root show --to root-set.json", in.Number, in.KeySet)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func (c *cli) readCeremony(name string) (signing.RootCeremony, error) {
	text, err := client.ReadText(name, client.MaxSmallFile)
	if err != nil {
		return signing.RootCeremony{}, exitf(exitUsage, "%w", err)
	}
	ceremony, err := signing.ReadRootCeremony([]byte(text))
	if err != nil {
		return ceremony, exitf(exitUsage, "%s: %w", name, err)
	}
	return ceremony, nil
}

// inPlace is the target for a ceremony's file that a command reads and then overwrites.
func inPlace(name string) target { return target{name: name, force: true, mode: forAll} }

// writeCeremony writes the ceremony's file atomically: the file may contain the signature of
// someone who is far away.
func writeCeremony(file target, ceremony signing.RootCeremony) error {
	text, err := json.MarshalIndent(ceremony, "", "  ")
	if err != nil {
		return err
	}
	return file.write(append(text, '\n'))
}

// showCeremony prints what will be signed.
func (c *cli) showCeremony(ceremony signing.RootCeremony) error {
	next, err := ceremony.Next()
	if err != nil {
		return err
	}
	keys, err := ceremony.KeySetToSign()
	if err != nil || c.asJSON() {
		return err
	}
	c.printf("root set %d of %s: %d of %d roots must sign\n", next.Number, next.Issuer, next.K, len(next.Keys))
	c.printKeys(next.Keys, func(k license.Key) string {
		for _, made := range ceremony.New {
			if made.Kid == k.Kid {
				return "new"
			}
		}
		return "stays"
	})
	c.printf("\nkey set %d, valid until %s\n", keys.Number, day(keys.Expires))
	c.printKeys(keys.Keys, func(k license.Key) string {
		if k.Withdrawn != 0 {
			return "withdrawn"
		}
		return ""
	})
	c.printf("\n")
	return nil
}

func (c *cli) printKeys(keys []license.Key, note func(license.Key) string) {
	rows := make([]record, len(keys))
	for i, k := range keys {
		rows[i] = record{"n": strconv.Itoa(i + 1), "kid": k.Kid, "until": day(k.SignUntil), "note": note(k)}
	}
	c.printTable(rows, column{head: "#", path: "n"}, column{head: "KEY", path: "kid"}, column{head: "SIGNS UNTIL", path: "until"}, column{head: "", path: "note"})
}

func day(at int64) string { return time.Unix(at, 0).UTC().Format(time.DateOnly) }
