#!/bin/sh
# The VRFs leaf1 gets, each with its L3VNI, ports and peerings: `sh vrfs.sh device` makes them devices, `sh
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
link add vx8891455 mtu 9166 type vxlan id 8891455 dstport 4789 local 10.255.0.3 nolearning ttl 64 tos inherit df set
link set vx8891455 addrgenmode none
link add vx5180836 mtu 9166 type vxlan id 5180836 dstport 4789 local 10.255.0.3 nolearning ttl 64 tos inherit df set
link set vx5180836 addrgenmode none
END
}
case $backend in
netns)
  # A name appears when all behind it is there: zebra looks at once, and then only once a second.
  mkdir -p /run/netns /run/vrfs
  for vrf in red blue; do
    : > /run/vrfs/$vrf
    # Ports inherit settings where they arrive.
    unshare --net=/run/vrfs/$vrf sh -ec "sysctl -qp sysctl.conf; nft -f nftables.conf; nft -f vrf-$vrf.nft"
    ln -s ../../run/vrfs/$vrf /run/netns/$vrf
  done
  vxlans
  ip -batch - <<END
link set vx8891455 netns red
link set vx5180836 netns blue
link set eth3 netns red
link set eth5 netns red
link set eth6 netns red
link set eth4 netns blue
link set eth7 netns blue
END
  ip -n red -batch - <<END
link set lo up
link add br8891455 mtu 9166 address 02:c2:00:03:00:00 type bridge stp_state 0 forward_delay 0
link set br8891455 addrgenmode none
link set vx8891455 addrgenmode none
link set vx8891455 master br8891455
link set vx8891455 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br8891455 up
link set vx8891455 up
END
  ip -n blue -batch - <<END
link set lo up
link add br5180836 mtu 9166 address 02:c2:00:03:00:00 type bridge stp_state 0 forward_delay 0
link set br5180836 addrgenmode none
link set vx5180836 addrgenmode none
link set vx5180836 master br5180836
link set vx5180836 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br5180836 up
link set vx5180836 up
END
  ;;
device)
  vxlans
  ip -batch - <<END
link add red type vrf table 25668671
link set red up
route add table 25668671 unreachable default metric 4278198272
link add br8891455 mtu 9166 address 02:c2:00:03:00:00 type bridge stp_state 0 forward_delay 0
link set br8891455 addrgenmode none
link set br8891455 master red
link set vx8891455 master br8891455
link set vx8891455 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br8891455 up
link set vx8891455 up
link add blue type vrf table 21958052
link set blue up
route add table 21958052 unreachable default metric 4278198272
link add br5180836 mtu 9166 address 02:c2:00:03:00:00 type bridge stp_state 0 forward_delay 0
link set br5180836 addrgenmode none
link set br5180836 master blue
link set vx5180836 master br5180836
link set vx5180836 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br5180836 up
link set vx5180836 up
link set eth3 master red
link set eth5 master red
link set eth6 master red
link set eth4 master blue
link set eth7 master blue
END
  for vrf in red blue; do nft -f vrf-$vrf.nft; done
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
