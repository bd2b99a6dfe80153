// Package copyholdtest creates licenses for unit tests of programs that use package copyhold. A
// license has features, pools, and meters, can be in any state at any time, and needs no server.
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
// The client is the real one and verifies real signatures. Its server is in memory, and its
// clock stands still until the test moves it. [License.Advance] lets hours pass in microseconds,
// including all refreshes and renewals that are due in that time. Each method returns after
// every client of the license has learned of the change and has called OnChange, OnRecall, and
// OnUsageRefused. Those functions must therefore not call methods of the License.
//
// This package cannot be used to bypass a license. Each License signs with its own keys, which
// the root set of a vendor's program refuses, and New works only in test binaries.
package copyholdtest
