// Client uses the generated package as a user would. It is called with the URL of a server and
// a license key, and prints what it was answered.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"example.com/client/copyhold"
)

func main() {
	url, key := os.Args[1], os.Args[2]
	ctx := context.Background()
	client, err := copyhold.NewClientWithResponses(url, copyhold.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "License "+key)
		return nil
	}))
	check(err)

	validated, err := client.ValidateWithResponse(ctx, copyhold.ValidateBody{Product: "lathe"})
	check(err)

	holder := copyhold.HolderBody{Kind: "user", Id: "ada"}
	acquired, err := client.AcquireLeaseWithResponse(ctx, copyhold.AcquireBody{Pool: "seats", RequestId: "go-1", Holder: holder})
	check(err)

	var quantity copyhold.UsageEvent_Quantity
	check(quantity.FromUsageEventQuantity0("1.25"))
	recorded, err := client.RecordUsageWithResponse(ctx, copyhold.UsageBody{
		Events: []copyhold.UsageEvent{{Id: "go-1", Meter: "calls", Quantity: quantity}},
	})
	check(err)

	refused, err := client.AcquireLeaseWithResponse(ctx, copyhold.AcquireBody{Pool: "nonsense", RequestId: "go-2", Holder: holder})
	check(err)

	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"outcome": validated.JSON200.Decision.Outcome,
		"lease":   acquired.StatusCode(),
		"usage":   []string{string(recorded.JSON200.Results[0].Status)},
		"problem": refused.ApplicationproblemJSON4XX.Code,
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
