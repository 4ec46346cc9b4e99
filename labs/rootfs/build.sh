#!/bin/sh
# Build the root filesystem of a node into the folder $1, from the package list $2.
# CLOSET_MIRROR names another Debian mirror.
set -eu
target=$1
packages=$(sed 's/#.*//' "$2" | xargs | tr ' ' ',')
# FRR's run-time folders belong to its user; nothing else is there to create them without an init system.
mmdebstrap --quiet --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='chroot "$1" install -d -o frr -g frr -m 755 /run/frr /var/lib/frr /var/tmp/frr' \
  --customize-hook='chroot "$1" install -d -m 777 /var/log/frr' \
  --customize-hook='chmod 755 "$1/etc/frr"; rm -f "$1/etc/frr/frr.conf" "$1/etc/hostname"' \
  --customize-hook='ln -s /run "$1/var/run" 2>/dev/null || true' \
  trixie "$target" "${CLOSET_MIRROR:-http://deb.debian.org/debian}"
