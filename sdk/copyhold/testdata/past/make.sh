#!/usr/bin/env bash
# make.sh COMMIT writes COMMIT.tar.gz: what the program of an earlier commit leaves
# behind. It builds that commit's program, and the maker beside it with that commit's SDK.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
commit=$(git -C "$here" rev-parse --short=7 "${1:?usage: make.sh COMMIT}")
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
git -C "$here" worktree add --quiet --detach "$work/tree" "$commit"
mkdir "$work/tree/cmd/past"
cp "$here/make/main.go" "$work/tree/cmd/past/"
[ -d "$work/tree/sdk/copyhold" ] || # the package was the module's root then
  sed -i 's#"copyhold.dev/sdk/copyhold"#copyhold "copyhold.dev/sdk"#' "$work/tree/cmd/past/main.go"
(cd "$work/tree" && CGO_ENABLED=0 go build -trimpath -o "$work/copyhold" ./cmd/copyhold && CGO_ENABLED=0 go build -trimpath -o "$work/make" ./cmd/past)
mkdir "$work/past"
(cd "$work/past" && "$work/make" "$work/copyhold" "$work/tree/examples/plans")
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/past" -cf - . | gzip -9n >"$here/$commit.tar.gz"
ls -l "$here/$commit.tar.gz"
