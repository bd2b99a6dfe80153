package copyhold_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"copyhold.dev/sdk/copyhold"
)

// rootSet is what the program trusts: embed the vendor's root set here.
var rootSet []byte

func ExampleOpen() {
	ctx := context.Background()
	client, err := copyhold.Open(ctx, copyhold.Options{
		Endpoints: []string{"https://licenses.example.com", "https://licenses-2.example.com"},
		KeyFile:   "/etc/lathe/license.key",
		Product:   "lathe",
		RootSet:   rootSet,
		Version:   "4.2.0",
		OnChange:  func(c copyhold.Change) { log.Println("license:", c.To.State, c.To.Reason) },
	})
	if err != nil {
		log.Fatal(err) // the options are wrong; a server that is away is no error
	}
	defer client.Close()

	export := client.Feature("export")
	if export.Enabled() {
		fmt.Println("up to", client.Feature("max_layers").Int(), "layers")
	}
}

// A license file works without any server.
func ExampleOpen_airGap() {
	client, err := copyhold.Open(context.Background(), copyhold.Options{
		LicenseFile: "/etc/lathe/acme.license", Product: "lathe", RootSet: rootSet,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Print(client.Why())
}

func ExampleClient_Acquire() {
	var client *copyhold.Client // of Open
	ctx := context.Background()
	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: 10 * time.Minute})
	switch {
	case copyhold.IsDenied(err):
		fmt.Println("no seat:", err)
	case err != nil:
		fmt.Println("no server; what is open can be read:", err)
	default:
		defer seat.Release(ctx)
	}
}

func ExampleClient_Require() {
	var client *copyhold.Client // of Open
	convert := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("POST /convert", client.Require("api", client.Meter("calls", convert)))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {}) // never gated
}

func ExampleClient_RecordUsage() {
	var client *copyhold.Client // of Open
	err := client.RecordUsage(copyhold.Usage{ID: "job-4711", Meter: "hours", Quantity: "1.25"})
	if err != nil {
		log.Println("not metered:", err)
	}
}

func ExampleClient_Unseal() {
	var client *copyhold.Client // of Open, with Options.Sealed
	var sealed []byte           // made by Seal in the vendor's build, and shipped
	model, err := client.Unseal("export", sealed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(model), "bytes")
}
