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
		Short: "Begin a new root set: replace roots, or change how many have to sign",
		Long: `New asks the server for the file of a ceremony. The server makes two years of new
signing keys for it, which sign nothing before the ceremony is over. Carry the file
to the machines that hold roots:

  root new       with the server: what the next root set is to be
  root make      offline: make the new roots
  root sign      offline, once for each file of roots: sign it
  root install   with the server: take it into force

The next root set needs as many signatures by the roots before it as they ask for,
and as many by its own. Programs that trust the root set before follow by themselves.
Without --keep every root is replaced.`,
		Example: `  copyhold signing-key root new --to ceremony.json
  copyhold signing-key root new --keep nZ0cXmQ3vVb1... --to ceremony.json
  copyhold signing-key root new --roots 3 --threshold 2 --to ceremony.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if want.Roots < 0 || want.Threshold < 0 {
				return usageError(cmd, "--roots and --threshold are not below zero")
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
			return c.done(nil, "the ceremony is in %s: carry it to an offline machine, then %s", file.name, next)
		},
	}
	file.flags(cmd, forAll, "file to write it to")
	cmd.Flags().StringArrayVar(&want.Keep, "keep", nil, "a root that stays, as signing-key list --use root names it; may be repeated")
	cmd.Flags().IntVar(&want.Roots, "roots", 0, "how many new roots; default as many as go")
	cmd.Flags().IntVar(&want.Threshold, "threshold", 0, "how many roots have to sign a set; default as many as now")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootMakeCommand() *cobra.Command {
	var file target
	var count int
	cmd := &cobra.Command{
		Use:   "make CEREMONY --to FILE",
		Short: "Make the new roots of a ceremony, offline",
		Long: `Make makes the roots that the ceremony still lacks, or as many of them as --count says,
writes their private parts to a new file that only you can read, and lists the public
parts in the ceremony's file. It asks no server. Where several people hold roots, each
makes their own, one after the other, and the file goes round.`,
		Example: `  copyhold signing-key root make ceremony.json --to /media/safe/copyhold-root-2.key
  copyhold signing-key root make ceremony.json --count 1 --to /media/mine/root.key`,
		Args: exactly("CEREMONY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usageError(cmd, "--count is not below zero")
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
				c.note("made root %s", k.Kid)
			}
			return c.done(nil, "the private part is in %s: keep it offline, in two places; %d of %d new roots are made", file.name, len(ceremony.New), ceremony.Roots)
		},
	}
	file.flags(cmd, forOwner, "file for the private parts, readable by you alone")
	cmd.Flags().IntVar(&count, "count", 0, "how many; default all that are missing")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootSignCommand() *cobra.Command {
	var file string
	var yes bool
	cmd := &cobra.Command{
		Use:   "sign CEREMONY --key FILE",
		Short: "Sign a new root set with the roots that you hold, offline",
		Long: `Sign shows what the next root set is and which signing keys come with it, and signs
both with every root in the file: one that root export, root make or a backup of them
wrote. It asks no server. Compare the keys with those of the others who sign.`,
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
			if err := c.confirm(yes, "Programs will believe what these roots sign."); err != nil {
				return err
			}
			if err := writeCeremony(inPlace(args[0]), ceremony); err != nil {
				return err
			}
			for _, kid := range by {
				c.note("signed by %s", kid)
			}
			p, err := ceremony.Progress()
			if err != nil {
				return err
			}
			if p.Complete() {
				return c.done(nil, "it is complete: copyhold signing-key root install %s", args[0])
			}
			return c.done(nil, "signatures so far: %d of %d by roots before it, %d of %d by its own", p.Old, p.OldNeeded, min(p.New, p.Keys), p.NewNeeded)
		},
	}
	cmd.Flags().StringVar(&file, "key", "", "file with the private parts of roots")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	required(cmd, "key")
	return cmd
}

func (c *cli) rootInstallCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "install CEREMONY",
		Short: "Take a signed root set into force",
		Long: `Install gives a complete ceremony to the server, which verifies it as a program does
that trusts the root set before, and signs with the new keys from then on. Roots that
are not in the new set sign nothing any more; private parts of them on the server are
destroyed. Programs follow with their next refresh; build new ones with the root set
that root show gives.`,
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
			if err := c.confirm(yes, "Programs will believe the new roots, and those that are not listed no more."); err != nil {
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
			return c.done(nil, "root set %d and key set %d are in force; pin the root set in new programs: copyhold signing-key root show --to root-set.json", in.Number, in.KeySet)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
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

// inPlace is the ceremony's file that a command read and writes again.
func inPlace(name string) target { return target{name: name, force: true, mode: forAll} }

// writeCeremony writes the ceremony's file whole: it may hold the signature of somebody
// who is far away.
func writeCeremony(file target, ceremony signing.RootCeremony) error {
	text, err := json.MarshalIndent(ceremony, "", "  ")
	if err != nil {
		return err
	}
	return file.write(append(text, '\n'))
}

// showCeremony prints what is signed.
func (c *cli) showCeremony(ceremony signing.RootCeremony) error {
	next, err := ceremony.Next()
	if err != nil {
		return err
	}
	keys, err := ceremony.KeySetToSign()
	if err != nil || c.asJSON() {
		return err
	}
	c.printf("root set %d of %s: %d of %d roots sign\n", next.Number, next.Issuer, next.K, len(next.Keys))
	c.printKeys(next.Keys, func(k license.Key) string {
		for _, made := range ceremony.New {
			if made.Kid == k.Kid {
				return "new"
			}
		}
		return "stays"
	})
	c.printf("\nkey set %d, until %s\n", keys.Number, day(keys.Expires))
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
