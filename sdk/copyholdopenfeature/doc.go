// Package copyholdopenfeature is an OpenFeature provider: the features of a license are the
// flags, and the program asks for them through the OpenFeature SDK.
//
//	provider, err := copyholdopenfeature.Open(ctx, copyhold.Options{ … })
//	if err != nil {
//		return err
//	}
//	if err := openfeature.SetProviderAndWait(provider); err != nil {
//		return err // there is no license, and no server gave one
//	}
//	defer openfeature.Shutdown() // closes the client
//
//	client := openfeature.NewClient("lathe")
//	export, err := client.BooleanValue(ctx, "export", false, openfeature.EvaluationContext{})
//
// A flag has the type of its feature: on or off is a boolean, a number is an integer (and can
// be read as a float), a text is a string. What the license does not allow now is false, 0 or
// empty with the reason DISABLED, whatever the default is. A flag that the license does not have
// at all is FLAG_NOT_FOUND, and its value is the default: so let the default of a licensed flag
// be what is free for everybody.
//
// With SetProvider in place of SetProviderAndWait a program starts without a license, and the
// provider is ready once there is one.
//
// The license decides, and not the evaluation context: flags have the same value for all
// users of the program. Pools and meters are no flags; [Provider.Client] has them.
package copyholdopenfeature
