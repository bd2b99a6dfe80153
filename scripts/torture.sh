#!/usr/bin/env bash
# make torture: runs the long tests, then the mutants. With a name (kill, power, disk, queue, race, rollback, mutants,
# vectors), it runs only that part.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
need_compiler
need_postgres

only=${1:-all}
want() { [ "$only" = all ] || [ "$only" = "$1" ]; }
export COPYHOLD_TORTURE=1 CGO_ENABLED=1

faults() { # name pattern
  echo "== $1"
  go test -count=1 -timeout 60m -v -run "$2" ./bench/torture/ | grep -vE '^(=== RUN|=== PAUSE|=== CONT)'
}

want kill && faults "killed processes" 'TestKill'
want power && faults "power loss" 'TestPower'
want disk && faults "a full disk and a failing disk" 'TestFullDisk|TestFailedDisk'
want queue && faults "a queue across a kill" 'TestQueue'
want race && {
  echo "== races for seats, machines, users and a quota: 1,000 rounds, one server and two, both engines"
  go test -race "$watch_ours" -count=1 -timeout 3h -v -run '^TestRace' ./internal/authority/ | grep -vE '^(=== RUN|=== PAUSE|=== CONT)'
}
want rollback && {
  echo "== rollbacks to random moments, and random histories without a rollback, both engines"
  go test -count=1 -timeout 2h -run '^TestNoRollbackOversells|^TestNeverOversold' ./internal/authority/
}
want vectors && {
  echo "== every check of the verifier has a vector"
  (cd sdk && GOWORK=off CGO_ENABLED=0 go run ./license/testdata/mutate)
}
want mutants && bash scripts/mutants.sh
echo "torture: passed"
