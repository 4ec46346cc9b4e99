#!/usr/bin/env bash
# Put a Docker 26 engine on Debian 12: install.sh
#
# Debian 12's own docker.io (20.10) cannot start privileged containers without
# CAP_SYS_RESOURCE; Debian 13's can, and runs on Debian 12's libc, runc and tini.
# Debian 13 is read with a package list of its own, thrown away at the end:
# nothing under /etc/apt changes, so a later apt-get install picks what it did before.
set -euo pipefail

fail() { echo "install.sh: $2" >&2; exit "$1"; }
major() { "$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

if server=$(timeout 10 docker info --format '{{.ServerVersion}}' 2>/dev/null) && [ -n "$server" ]; then
    echo "docker: engine $server answers, nothing to do"
    exit 0
fi
if command -v dockerd >/dev/null && [ "$(major dockerd)" -ge 23 ]; then
    echo "docker: $(dockerd --version) is installed, nothing to do (start.sh starts it)"
    exit 0
fi
. /etc/os-release
[ "${ID:-}:${VERSION_ID:-}" = debian:12 ] || fail 3 "no engine here, and this script knows only Debian 12: install docker yourself"
[ "$(id -u)" = 0 ] || fail 3 "must run as root"

mirror=${CLOSET_DEBIAN_MIRROR:-http://deb.debian.org/debian}
tmp=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
trap 'rm -rf "$tmp"; [ -z "${own_policy:-}" ] || rm -f "$policy"' EXIT

# Debian 12's part, by plain apt.
export DEBIAN_FRONTEND=noninteractive
apt-cache show tini >/dev/null 2>&1 || apt-get -qq update || fail 3 "apt-get update failed"
apt-get -qq -y install --no-install-recommends runc tini iptables >"$tmp/log" 2>&1 ||
    { tail -5 "$tmp/log" >&2; fail 3 "apt-get install runc tini iptables failed"; }

# Debian 13's part. The pin is a second lock: even with this list in use, only a
# package named with /trixie comes from Debian 13.
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$tmp/closet-trixie.list"
printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n' >"$tmp/closet-trixie.pref"
apt13() {
    apt-get -qq -o Dir::Etc::SourceList="$tmp/closet-trixie.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences="$tmp/closet-trixie.pref" -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State::Lists="$tmp/lists" -o Dir::Cache="$tmp/cache" -o APT::Sandbox::User=root "$@"
}
packages=(docker.io/trixie containerd/trixie)
command -v docker >/dev/null || packages+=(docker-cli/trixie)
apt13 update || fail 3 "cannot read Debian 13's package list from $mirror"
(cd "$tmp" && apt13 download "${packages[@]}") || fail 3 "cannot download ${packages[*]}"

# The packages would start a daemon with settings of their own; start.sh does that.
if [ ! -e "$policy" ]; then
    own_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
# Not --force-depends: every dependency is met, and apt stays usable afterwards.
dpkg -i "$tmp"/*.deb >"$tmp/log" 2>&1 || { tail -5 "$tmp/log" >&2; fail 3 "dpkg failed"; }
echo "docker: installed $(dockerd --version) in ${SECONDS} s"
