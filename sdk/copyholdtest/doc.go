// Package copyholdtest makes licenses for unit tests of programs that use package copyhold:
// with features, pools and meters, in any state, at any time, and without a server.
//
//	func TestExportNeedsALicense(t *testing.T) {
//		lic := copyholdtest.New(t, copyholdtest.Plan{Features: map[string]any{"export": true}})
//		app := App{License: lic.Client()}
//		if err := app.Export(); err != nil {
//			t.Error(err)
//		}
//		lic.SetFeature("export", false)
//		if err := app.Export(); !errors.Is(err, copyhold.ErrDenied) {
//			t.Error(err)
//		}
//	}
//
// The client is the real one and verifies real signatures. What it talks to is in memory, and
// its clock stands still until the test moves it: [License.Advance] lets hours pass in
// microseconds, with every refresh and renewal that belongs to them. Each method returns once
// all clients of the license know what it has changed and have called OnChange, OnRecall and
// OnUsageRefused. So these functions must not call methods of the License.
//
// None of this can be used to get around a license. Each License signs with keys of its own,
// which the root set of a vendor's program refuses, and New works in test binaries only.
package copyholdtest
