#!/bin/sh
# The VRFs g1-leaf1 gets, each with its L3VNI, ports and peerings: `sh vrfs.sh device` makes them devices, `sh
# vrfs.sh netns` network namespaces (FRR's daemons then run with -w); without a word it does what the kernel can.
set -e
cd /etc/frr
backend=$1
if [ -z "$backend" ]; then
  backend=netns
  if ip link add probe type vrf table 16777216 2>/dev/null; then
    ip link del probe
    backend=device
  fi
fi
# A VXLAN device is made in the underlay, and then moved: it goes on sending from there.
vxlans() {
  ip -batch - <<END
END
}
case $backend in
netns)
  # A name appears when all behind it is there: zebra looks at once, and then only once a second.
  mkdir -p /run/netns /run/vrfs
  ;;
device)
  sysctl -qw net.vrf.strict_mode=1
  # What a VRF has no route to ends there: else the leaf would answer its hosts at its addresses in the underlay
  # (Linux Documentation/networking/vrf.rst).
  for family in -4 -6; do
    if ip $family rule list pref 0 | grep -q .; then
      ip $family rule add pref 32765 table local
      ip $family rule del pref 0
    fi
  done
  ;;
*)
  echo "usage: vrfs.sh netns|device" >&2
  exit 2
  ;;
esac
