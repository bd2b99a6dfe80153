#!/usr/bin/env bash
# make test: installs what the tests need, or reports what is missing, and runs the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh

need_compiler
need_postgres
need_node

echo "== format"
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "gofmt would change:"; echo "$unformatted"; exit 1; }

echo "== build and vet"
CGO_ENABLED=0 go build ./...
CGO_ENABLED=0 go vet ./...
(cd sdk && GOWORK=off CGO_ENABLED=0 go vet ./...) # at the Go version that the SDK promises

echo "== sdk, as a separate module"
# In three processes, because the race detector crashes in a process that has run too many testing/synctest bubbles.
(cd sdk && export GOWORK=off && watched -run '^TestA[A-L]' ./... && watched -run '^TestA[M-Z]' ./... && watched -skip '^TestA[A-Z]' ./...)

for module in copyholdgrpc copyholdopenfeature copyholdotel; do
  echo "== sdk/$module"
  (cd "sdk/$module" && export GOWORK=off && CGO_ENABLED=0 go vet ./... && watched ./...)
done

echo "== copyhold"
watched ./...

if [ "${COPYHOLD_NO_PG:-}" = 1 ]; then
  echo "COPYHOLD_NO_PG=1 is set, so the tests on PostgreSQL were skipped; run with -v to list them."
fi
if ! command -v systemd-analyze >/dev/null; then
  echo "systemd-analyze is not installed: the exposure of deploy/systemd/copyhold.service was NOT checked."
fi
if ! ls "$(go env GOROOT)"/api/go1*.txt >/dev/null 2>&1; then
  echo "This Go installation has no api folder: whether the SDK needs a newer Go was NOT checked."
fi
