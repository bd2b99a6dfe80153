package cli

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/copyhold"
)

func (c *cli) featureKeyCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "feature-key PRODUCT FEATURE",
		Short: "Show the public key for sealing data to a feature",
		Long: `Feature-key prints the X25519 public key of a feature, in base64. The server creates the
key on the first request. The key is not secret: on a machine without a token, such as a
build machine, pass it to product seal with --key.`,
		Example: "  copyhold product feature-key lathe export\n  copyhold product feature-key lathe export --to export.pub",
		Args:    exactly("PRODUCT", "FEATURE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.askFeatureKey(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			var key struct {
				Public string `json:"public"`
			}
			switch err := a.Decode(&key); {
			case err != nil:
				return err
			case file.given():
				return c.done(file.write([]byte(key.Public+"\n")), "wrote the public key to %s", file.name)
			case c.asJSON():
				return c.printJSON(a.Body)
			}
			c.printf("%s\n", key.Public)
			return nil
		},
	}
	file.flags(cmd, forAll, "write the key to this file")
	return cmd
}

func (c *cli) askFeatureKey(ctx context.Context, product, feature string) (client.Answer, error) {
	path := "/v1/products/" + url.PathEscape(product) + "/features/" + url.PathEscape(feature) + "/key"
	return c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodPost, Path: path})
}

func (c *cli) sealCommand() *cobra.Command {
	var keyFile string
	var to target
	cmd := &cobra.Command{
		Use:   "seal PRODUCT FEATURE FILE",
		Short: "Encrypt a file so that only a license with this feature can open it",
		Long: `Seal encrypts a file (- for standard input) to the key of a feature. Encryption happens
on this machine. A program opens the file with the SDK function Unseal. The key to open
it is in the program's license, encrypted to its device, so removing the license check
from a program does not open the file.`,
		Example: `  copyhold product seal lathe export export.so --to export.so.sealed
  copyhold product seal lathe export export.so --key export.pub --to export.so.sealed`,
		Args: exactly("PRODUCT", "FEATURE", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			product, feature := args[0], args[1]
			key, err := c.featureKey(cmd.Context(), product, feature, keyFile)
			if err != nil {
				return err
			}
			data, err := c.readAll(args[2])
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			sealed, err := copyhold.Seal(key, product, feature, data)
			if err != nil {
				return err
			}
			return c.done(to.write(sealed), "sealed %s to feature %s of %s and wrote it to %s", args[2], feature, product, to.name)
		},
	}
	to.flags(cmd, forAll, "file to write")
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the feature's public key, instead of asking the server")
	required(cmd, "to")
	return cmd
}

// readAll reads a file of any size, or standard input for "-".
func (c *cli) readAll(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(c.program.Stdin)
	}
	return os.ReadFile(name)
}

// featureKey reads a feature's public key from a file, or fetches it from the server.
func (c *cli) featureKey(ctx context.Context, product, feature, file string) ([]byte, error) {
	if file != "" {
		text, err := client.ReadText(file, client.MaxSmallFile)
		if err != nil {
			return nil, exitf(exitUsage, "%w", err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, exitf(exitUsage, "%s does not contain a feature's public key: %w", file, err)
		}
		return key, nil
	}
	a, err := c.askFeatureKey(ctx, product, feature)
	if err != nil {
		return nil, err
	}
	var key struct {
		Public []byte `json:"public"`
	}
	err = a.Decode(&key)
	return key.Public, err
}
