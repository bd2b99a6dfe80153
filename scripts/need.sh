# What the tests need besides Go. Each function installs something or reports what is missing.
# shellcheck shell=bash

missing() { echo "missing: $1" >&2; echo "  $2" >&2; exit 1; }

install_debian() { # package...
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  apt-get install -y -q "$@" >/dev/null 2>&1 || { apt-get update -q >/dev/null && apt-get install -y -q "$@" >/dev/null; }
}

# The race detector checks all Go code except SQLite, which is translated from C. SQLite takes five times as long
# under the detector and protects everything that it shares with its own locks.
watch_ours='-gcflags=modernc.org/sqlite/lib=-race=false'

# watched runs go test under the race detector. The detector itself can crash in a test with testing/synctest
# (golang/go#78156). watched then reports the packages where that happened and tests them once more. A failed test, a
# race, or a second crash fails.
watched() { # arguments of go test
  local out packages
  out=$(mktemp)
  if CGO_ENABLED=1 go test -race "$watch_ours" -count=1 -timeout 60m "$@" 2>&1 | tee "$out"; then
    rm -f "$out"
    return
  fi
  packages=$(awk '$1 == "FAIL" && NF >= 3 {print $2}' "$out")
  if [ -z "$packages" ] || grep -qE '^ *--- FAIL|DATA RACE|^panic:|build failed' "$out" || ! grep -qE '^SIGSEGV: segmentation violation|ThreadSanitizer: CHECK failed' "$out"; then
    rm -f "$out"
    return 1
  fi
  rm -f "$out"
  echo "the race detector crashed, but no test failed; testing again:" $packages
  # shellcheck disable=SC2086
  CGO_ENABLED=1 go test -race "$watch_ours" -count=1 -timeout 60m $packages
}

need_compiler() { # the race detector uses cgo
  command -v gcc >/dev/null || command -v cc >/dev/null || install_debian gcc libc6-dev ||
    missing "a C compiler" "the race detector needs one: install gcc, or run the tests with: go test ./..."
}

need_postgres() {
  [ "${COPYHOLD_NO_PG:-}" = 1 ] && return
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return
  command -v initdb >/dev/null && return
  echo "installing PostgreSQL for the tests"
  install_debian postgresql || missing "PostgreSQL 15 or later (initdb, pg_ctl)" "install it, or skip its tests with COPYHOLD_NO_PG=1"
}

need_node() { # npm packages also check signed documents and the API's description
  command -v npm >/dev/null || install_debian nodejs npm || missing "node and npm" "install Node.js 22.12 or later"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number)
    process.exit(a > 22 || a == 22 && b >= 12 || a == 20 && b >= 19 ? 0 : 1)' ||
    missing "a newer Node.js than $(node --version)" "install Node.js 22.12 or later; 20.19 or later in version 20 also works"
}
