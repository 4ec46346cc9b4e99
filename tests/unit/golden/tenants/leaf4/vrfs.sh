#!/bin/sh
# The VRFs leaf4 gets, each with its L3VNI, ports and peerings: `sh vrfs.sh device` makes them devices, `sh
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
link add vx8891455 mtu 9166 type vxlan id 8891455 dstport 4789 local 10.255.0.6 nolearning ttl 64 tos inherit df set
link set vx8891455 addrgenmode none
link add vx5180836 mtu 9166 type vxlan id 5180836 dstport 4789 local 10.255.0.6 nolearning ttl 64 tos inherit df set
link set vx5180836 addrgenmode none
link add vx12243505 mtu 9166 type vxlan id 12243505 dstport 4789 local 10.255.0.6 nolearning ttl 64 tos inherit df set
link set vx12243505 addrgenmode none
link add vx4494505 mtu 9166 type vxlan id 4494505 dstport 4789 local 10.255.0.6 nolearning ttl 64 tos inherit df set
link set vx4494505 addrgenmode none
END
}
case $backend in
netns)
  # A name appears when all behind it is there: zebra looks at once, and then only once a second.
  mkdir -p /run/netns /run/vrfs
  for vrf in red blue green services; do
    : > /run/vrfs/$vrf
    # Ports inherit settings where they arrive.
    unshare --net=/run/vrfs/$vrf sh -ec "sysctl -qp sysctl.conf; nft -f nftables.conf; nft -f vrf-$vrf.nft"
    ln -s ../../run/vrfs/$vrf /run/netns/$vrf
  done
  vxlans
  ip -batch - <<END
link set vx8891455 netns red
link set vx5180836 netns blue
link set vx12243505 netns green
link set vx4494505 netns services
link set eth3 netns red
link set eth4 netns red
link set eth5 netns blue
link set eth6 netns green
link set eth7 netns services
link add p87ac3f-4494a9 mtu 9166 address 02:c3:00:06:00:01 netns red type veth peer name p4494a9-87ac3f mtu 9166 address 02:c3:00:06:00:02 netns services
link add pbad231-4494a9 mtu 9166 address 02:c3:00:06:00:01 netns green type veth peer name p4494a9-bad231 mtu 9166 address 02:c3:00:06:00:02 netns services
END
  ip -n red -batch - <<END
link set lo up
link add br8891455 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br8891455 addrgenmode none
link set vx8891455 addrgenmode none
link set vx8891455 master br8891455
link set vx8891455 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br8891455 up
link set vx8891455 up
END
  ip -n blue -batch - <<END
link set lo up
link add br5180836 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br5180836 addrgenmode none
link set vx5180836 addrgenmode none
link set vx5180836 master br5180836
link set vx5180836 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br5180836 up
link set vx5180836 up
END
  ip -n green -batch - <<END
link set lo up
link add br12243505 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br12243505 addrgenmode none
link set vx12243505 addrgenmode none
link set vx12243505 master br12243505
link set vx12243505 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br12243505 up
link set vx12243505 up
END
  ip -n services -batch - <<END
link set lo up
link add br4494505 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br4494505 addrgenmode none
link set vx4494505 addrgenmode none
link set vx4494505 master br4494505
link set vx4494505 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br4494505 up
link set vx4494505 up
END
  ip -n red -batch - <<END
link set p87ac3f-4494a9 addrgenmode none
link set p87ac3f-4494a9 up
neigh add 169.254.0.2 lladdr 02:c3:00:06:00:02 dev p87ac3f-4494a9 nud permanent
END
  ip -n services -batch - <<END
link set p4494a9-87ac3f addrgenmode none
link set p4494a9-87ac3f up
neigh add 169.254.0.1 lladdr 02:c3:00:06:00:01 dev p4494a9-87ac3f nud permanent
link set p4494a9-bad231 addrgenmode none
link set p4494a9-bad231 up
neigh add 169.254.0.1 lladdr 02:c3:00:06:00:01 dev p4494a9-bad231 nud permanent
END
  ip -n green -batch - <<END
link set pbad231-4494a9 addrgenmode none
link set pbad231-4494a9 up
neigh add 169.254.0.2 lladdr 02:c3:00:06:00:02 dev pbad231-4494a9 nud permanent
END
  ;;
device)
  vxlans
  ip -batch - <<END
link add red type vrf table 25668671
link set red up
route add table 25668671 unreachable default metric 4278198272
link add br8891455 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br8891455 addrgenmode none
link set br8891455 master red
link set vx8891455 master br8891455
link set vx8891455 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br8891455 up
link set vx8891455 up
link add blue type vrf table 21958052
link set blue up
route add table 21958052 unreachable default metric 4278198272
link add br5180836 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br5180836 addrgenmode none
link set br5180836 master blue
link set vx5180836 master br5180836
link set vx5180836 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br5180836 up
link set vx5180836 up
link add green type vrf table 29020721
link set green up
route add table 29020721 unreachable default metric 4278198272
link add br12243505 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br12243505 addrgenmode none
link set br12243505 master green
link set vx12243505 master br12243505
link set vx12243505 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br12243505 up
link set vx12243505 up
link add services type vrf table 21271721
link set services up
route add table 21271721 unreachable default metric 4278198272
link add br4494505 mtu 9166 address 02:c2:00:06:00:00 type bridge stp_state 0 forward_delay 0
link set br4494505 addrgenmode none
link set br4494505 master services
link set vx4494505 master br4494505
link set vx4494505 type bridge_slave learning off neigh_suppress on flood off mcast_flood off
link set br4494505 up
link set vx4494505 up
link set eth3 master red
link set eth4 master red
link set eth5 master blue
link set eth6 master green
link set eth7 master services
link add p87ac3f-4494a9 mtu 9166 address 02:c3:00:06:00:01 type veth peer name p4494a9-87ac3f mtu 9166 address 02:c3:00:06:00:02
link add pbad231-4494a9 mtu 9166 address 02:c3:00:06:00:01 type veth peer name p4494a9-bad231 mtu 9166 address 02:c3:00:06:00:02
link set p87ac3f-4494a9 addrgenmode none master red
link set p87ac3f-4494a9 up
neigh add 169.254.0.2 lladdr 02:c3:00:06:00:02 dev p87ac3f-4494a9 nud permanent
link set p4494a9-87ac3f addrgenmode none master services
link set p4494a9-87ac3f up
neigh add 169.254.0.1 lladdr 02:c3:00:06:00:01 dev p4494a9-87ac3f nud permanent
link set p4494a9-bad231 addrgenmode none master services
link set p4494a9-bad231 up
neigh add 169.254.0.1 lladdr 02:c3:00:06:00:01 dev p4494a9-bad231 nud permanent
link set pbad231-4494a9 addrgenmode none master green
link set pbad231-4494a9 up
neigh add 169.254.0.2 lladdr 02:c3:00:06:00:02 dev pbad231-4494a9 nud permanent
END
  for vrf in red blue green services; do nft -f vrf-$vrf.nft; done
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
