// Command production tries to create a test license in a program that is not a test.
package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/copyholdtest"
)

// tb looks like a test and continues after a failure.
type tb struct{ testing.TB }

func (tb) Helper()                           {}
func (tb) Cleanup(func())                    {}
func (tb) Context() context.Context          { return context.Background() }
func (tb) Fatal(args ...any)                 { fmt.Println(args...) }
func (tb) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func main() {
	lic := copyholdtest.New(tb{}, copyholdtest.Plan{Features: map[string]any{"export": true}})
	if lic == nil {
		os.Exit(3)
	}
	client, err := copyhold.Open(context.Background(), lic.Options())
	if err != nil {
		os.Exit(3)
	}
	fmt.Println("licensed:", client.Enabled("export"))
}
