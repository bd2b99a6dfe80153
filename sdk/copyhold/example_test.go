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
	var no *copyhold.DecisionError
	switch {
	case errors.Is(err, copyhold.ErrDenied) && errors.As(err, &no):
		fmt.Println("no seat:", no.Decision.Reason, "A seat is free by", no.Decision.FreeTime())
		return
	case errors.Is(err, copyhold.ErrUnavailable) && client.State().Full():
		fmt.Println("no server answers, and the license is good: going on without a counted seat")
	case err != nil:
		fmt.Println("not started:", err)
		return
	}
	defer seat.Release(ctx) // also of a nil lease
}

// An activation dialog: the program starts without a key, and its user types one.
func ExampleClient_SetKey() {
	ctx := context.Background()
	client, err := copyhold.Open(ctx, copyhold.Options{
		Endpoints: []string{"https://licenses.example.com"}, Product: "lathe", RootSet: rootSet,
		Key: "", AllowNoKey: true, // the key of the settings, once there is one
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
		fmt.Println("This key has a typing mistake.")
	case errors.Is(err, copyhold.ErrKeyRefused):
		fmt.Println("This key is not known, or it has ended.")
	case errors.Is(err, copyhold.ErrDenied):
		fmt.Println("This key cannot be used here:", err)
	default:
		fmt.Println("No license server was reached. Please try again.")
	}
}

func ExampleClient_Require() {
	var client *copyhold.Client // of Open
	convert := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("POST /convert", client.Require("api", client.Metered("calls", convert)))
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
