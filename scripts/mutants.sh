#!/usr/bin/env bash
# Applies each patch in bench/torture/mutants, or only the named ones, to a copy of the tree and runs the test that the
# first lines of the patch name. A mutant that survives shows a gap in the tests. One that does not apply or build
# proves nothing. Both fail.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export GOFLAGS=-trimpath CGO_ENABLED=0 # so that the build cache can be shared
lived=0 total=0

patches=("$top"/bench/torture/mutants/*.patch)
if [ $# -gt 0 ]; then
  patches=("${@/#/$top/bench/torture/mutants/}")
  patches=("${patches[@]/%/.patch}")
fi

for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  run=$(sed -n 's/^# run: //p' "$patch" | head -n 1)
  dir=$(sed -n 's/^# in: //p' "$patch" | head -n 1)
  [ -n "$run" ] || { echo "$name: no '# run:' line"; exit 1; }
  rm -rf "$copy/tree" && mkdir "$copy/tree"
  git ls-files -z | xargs -0 cp --parents -t "$copy/tree" 2>/dev/null
  cd "$copy/tree"
  git apply --unidiff-zero --whitespace=nowarn "$patch" 2>"$copy/apply" || { echo "$name: stale, does not apply:"; cat "$copy/apply"; exit 1; }
  cd "${dir:-.}"
  total=$((total + 1))
  if bash -c "$run" >"$copy/out" 2>&1; then
    echo "LIVED   $name    ($run)"
    lived=$((lived + 1))
  elif why=$(grep -m1 -E -- '--- FAIL|panic:|DATA RACE' "$copy/out"); then
    printf 'caught  %-32s %s\n' "$name" "$why"
  else # a test that can't be built or run proves nothing
    echo "BROKEN  $name    ($run)"
    tail -n 5 "$copy/out"
    lived=$((lived + 1))
  fi
  cd "$top"
done
echo "mutants: $total applied, $lived lived"
[ "$lived" = 0 ] && [ "$total" -gt 0 ]
