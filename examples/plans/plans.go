// Package plans holds example plan files, one licensing model each. The demo
// sells them; `copyhold plan lint examples/plans/*.yaml` accepts them.
package plans

import "embed"

// Files are the plan files of this folder.
//
//go:embed *.yaml
var Files embed.FS
