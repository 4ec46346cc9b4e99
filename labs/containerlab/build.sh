#!/usr/bin/env bash
# Build the containerlab pinned in go.mod: build.sh PATH
# An existing PATH is left alone, so a user's own containerlab is never touched.
set -euo pipefail

fail() { echo "build.sh: $2" >&2; exit "$1"; }

[ $# -eq 1 ] || fail 2 "usage: build.sh PATH"
if [ -x "$1" ] && [ ! -d "$1" ]; then
    echo "containerlab: $1 exists, left alone"
    exit 0
fi
[ ! -e "$1" ] || fail 2 "$1 exists and is not an executable file"
command -v go >/dev/null || fail 3 "the 'go' command (1.25 or newer) is missing"

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
# Built beside the target and renamed, so an interrupted build never leaves half a binary.
new=$(mktemp "$out.XXXXXX")
trap 'rm -f "$new"' EXIT

cd "$here"
package=github.com/srl-labs/containerlab
version=$(GOFLAGS=-mod=readonly go list -m -f '{{.Version}}' "$package") ||
    fail 3 "go cannot read labs/containerlab/go.mod"
# -mod=readonly: go.sum decides what is built. -trimpath, -buildvcs=false: same source, same bytes.
CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X $package/cmd.Version=${version#v}" -o "$new" "$package" ||
    fail 3 "go build failed (first build needs the Go module proxy)"

if [ ! -e /proc/modules ]; then
    # Without loadable modules each deploy ends with "open /proc/modules: no such file".
    # A path of the same length that is always readable and empty reads as "no modules".
    LC_ALL=C sed -i 's#/proc/modules#/dev/././null#g' "$new"
fi
chmod 755 "$new"
mv "$new" "$out"
echo "containerlab: built ${version#v} as $out in ${SECONDS} s"
