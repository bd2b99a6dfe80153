// Package copyholdopenfeature is an OpenFeature provider. The features of a license are flags,
// which the program evaluates with the OpenFeature SDK.
//
//	provider, err := copyholdopenfeature.Open(ctx, copyhold.Options{ … })
//	if err != nil {
//		return err
//	}
//	if err := openfeature.SetProviderAndWait(provider); err != nil {
//		return err // there is no license, and no server provided one
//	}
//	defer openfeature.Shutdown() // closes the client
//
//	client := openfeature.NewClient("lathe")
//	export, err := client.BooleanValue(ctx, "export", false, openfeature.EvaluationContext{})
//
// A flag has the type of its feature: on or off is a boolean, a number is an integer (which can
// also be read as a float), and a text is a string. If the license does not allow a feature now,
// its flag is false, 0, or empty with the reason DISABLED, whatever the default is. If the
// license does not have the feature at all, the result is FLAG_NOT_FOUND, and the value is the
// default. The default of a licensed flag should therefore be what everybody gets for free.
//
// With SetProvider instead of SetProviderAndWait, a program can start without a license. The
// provider becomes ready once there is one.
//
// The license decides, not the evaluation context: a flag has the same value for all users of
// the program. Pools and meters are not flags; use [Provider.Client] for them.
package copyholdopenfeature
