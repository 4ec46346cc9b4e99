"""The two fabrics that are compared: the same switches, cables and hosts, in two tenants.

One is what closet builds: every host routes, tenants are VRFs over EVPN Type-5. The other starts as the same underlay;
then each tenant's ports are joined to one bridge domain, stretched over VXLAN between all leaves (L2VNI, EVPN Types 2
and 3, RFC 8365), as virtual machines and appliances often ask for.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from closet.plan import Fabric, Node

TENANTS = ("red", "blue")
"""Host 1 of every leaf is red's, host 2 blue's."""
FIRST_VNI = 20_000
SUBNETS = {"red": IPv4Network("172.16.0.0/16"), "blue": IPv4Network("172.17.0.0/16")}
"""The subnet that every host of a stretched tenant is in."""


def routed(spines: int, leaves: int) -> str:
    """The intent of the routed fabric."""
    tenants = "".join(f"  {t}: {{hosts: ['h*-{i}']}}\n" for i, t in enumerate(TENANTS, 1))
    return f"{_shape('routed', spines, leaves)}tenants:\n{tenants}"


def underlay(spines: int, leaves: int) -> str:
    """The intent of what the stretched bridge domains are laid over."""
    return _shape("stretched", spines, leaves)


def _shape(name: str, spines: int, leaves: int) -> str:
    return f"name: compare-{name}\nspines: {spines}\nleaves: {leaves}\nhosts: {{per_leaf: {len(TENANTS)}}}\n"


def hosts(fabric: Fabric, tenant: str) -> list[Node]:
    """The hosts of a tenant, by leaf."""
    place = TENANTS.index(tenant)
    return [h for i, h in enumerate(fabric.hosts) if i % len(TENANTS) == place]


def address(fabric: Fabric, host: Node) -> IPv4Interface:
    """A host's address in the subnet of its stretched tenant."""
    tenant = tenant_of(fabric, host)
    subnet = SUBNETS[tenant]
    return IPv4Interface(f"{subnet[hosts(fabric, tenant).index(host) + 1]}/{subnet.prefixlen}")


def tenant_of(fabric: Fabric, host: Node) -> str:
    """The tenant a host is in."""
    return TENANTS[fabric.hosts.index(host) % len(TENANTS)]


def bridge(tenant: str) -> str:
    """The bridge of a stretched tenant."""
    return f"br-{tenant}"


def vxlan(tenant: str) -> str:
    """The VXLAN device of a stretched tenant."""
    return f"vx-{tenant}"


def plumbing(fabric: Fabric, leaf: Node) -> str:
    """The shell script that joins a leaf's host ports to stretched bridge domains.

    The leaf's control-plane filter goes: it knows nothing of VXLAN, and it is not what is compared.
    """
    lines = ["set -e", "nft delete table inet closet"]
    for i, tenant in enumerate(TENANTS, 1):
        ports = [p.name for p in fabric.downlinks(leaf) if tenant_of(fabric, fabric[p.peer]) == tenant]
        br, vx = bridge(tenant), vxlan(tenant)
        lines += [
            f"ip link add {br} type bridge stp_state 0 mcast_snooping 0",
            f"ip link add {vx} type vxlan id {FIRST_VNI + i} local {leaf.loopback} dstport 4789 nolearning tos inherit",
            *(f"ip link set {device} addrgenmode none" for device in (br, vx)),
            *(f"ip link set {device} master {br}" for device in (vx, *ports)),
            f"bridge link set dev {vx} learning off",
            *(f"ip link set {device} up" for device in (vx, br)),
        ]
    return "\n".join(lines) + "\n"


def evpn(fabric: Fabric, switch: Node) -> list[str]:
    """The lines for vtysh that make a switch speak EVPN: leaves with all their VNIs, spines passing it on."""
    up, down = fabric.uplinks(switch), fabric.downlinks(switch)
    group = "UP" if up else "DOWN"
    lines = ["route-map ALL permit 10", "exit", f"router bgp {switch.asn}"]
    if up:
        lines += [f"no neighbor {p.name} interface peer-group HOSTS" for p in down]
    lines += ["address-family l2vpn evpn", f"neighbor {group} activate"]
    lines += [f"neighbor {group} route-map ALL {way}" for way in ("in", "out")]
    return [*lines, *(["advertise-all-vni"] if up else [])]
