// Package plans contains example plan files, one for each licensing model. The demo uses them,
// and `copyhold plan lint examples/plans/*.yaml` accepts them.
package plans

import "embed"

// Files contains the plan files in this folder.
//
//go:embed *.yaml
var Files embed.FS
