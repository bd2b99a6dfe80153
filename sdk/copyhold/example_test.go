package copyhold_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"copyhold.dev/sdk/copyhold"
)

// rootSet contains the trusted keys. Embed the vendor's root set here.
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
		log.Fatal(err) // the options are wrong; an unreachable server is not an error here
	}
	defer client.Close()

	export := client.Feature("export")
	if export.Enabled() {
		fmt.Println("up to", client.Feature("max_layers").Int(), "layers")
	}
}

// A license file needs no server.
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
	var client *copyhold.Client // returned by Open
	ctx := context.Background()
	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: 10 * time.Minute})
	var no *copyhold.DecisionError
	switch {
	case errors.Is(err, copyhold.ErrDenied) && errors.As(err, &no):
		fmt.Println("no seat:", no.Decision.Reason, "A seat is free by", no.Decision.FreeTime())
		return
	case errors.Is(err, copyhold.ErrUnavailable) && client.State().Full():
		fmt.Println("no server answers, but the license is good: continuing without a counted seat")
	case err != nil:
		fmt.Println("not started:", err)
		return
	}
	defer seat.Release(ctx) // works on a nil lease, too
}

// In an activation dialog, the program starts without a key, and the user types one.
func ExampleClient_SetKey() {
	ctx := context.Background()
	client, err := copyhold.Open(ctx, copyhold.Options{
		Endpoints: []string{"https://licenses.example.com"}, Product: "lathe", RootSet: rootSet,
		Key: "", AllowNoKey: true, // pass the key from the settings once there is one
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var typed string // what the user entered
	switch err := client.SetKey(ctx, typed); {
	case err == nil:
		fmt.Println("activated; now store the key in the settings")
	case errors.Is(err, copyhold.ErrRequest):
		fmt.Println("This key contains a typing mistake.")
	case errors.Is(err, copyhold.ErrKeyRefused):
		fmt.Println("This key is unknown or has expired.")
	case errors.Is(err, copyhold.ErrDenied):
		fmt.Println("This key cannot be used here:", err)
	default:
		fmt.Println("No license server was reached. Please try again.")
	}
}

func ExampleClient_Require() {
	var client *copyhold.Client // returned by Open
	convert := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("POST /convert", client.Require("api", client.Metered("calls", convert)))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {}) // never gated
}

func ExampleClient_RecordUsage() {
	var client *copyhold.Client // returned by Open
	err := client.RecordUsage(copyhold.Usage{ID: "job-4711", Meter: "hours", Quantity: "1.25"})
	if err != nil {
		log.Println("not metered:", err)
	}
}

func ExampleClient_Unseal() {
	var client *copyhold.Client // returned by Open, with Options.Sealed
	var sealed []byte           // made by Seal in the vendor's build and shipped with the program
	model, err := client.Unseal("export", sealed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(model), "bytes")
}
