"""What a node needs beside FRR: kernel settings, and on switches the filter before the control plane."""

from __future__ import annotations

from closet.plan import DEFAULT_VRF, Fabric, Node, Port
from closet.render.environment import TEMPLATES


def sysctls(node: Node) -> dict[str, int]:
    """Kernel settings of a node by dotted name (Linux Documentation/networking/ip-sysctl.rst)."""
    forward = 0 if node.is_host else 1
    return {
        "net.ipv4.ip_forward": forward,
        "net.ipv6.conf.all.forwarding": forward,
        "net.ipv6.conf.default.forwarding": forward,
        # FRR hears router advertisements itself; the kernel must not take routes from them.
        "net.ipv6.conf.all.accept_ra": 0,
        "net.ipv6.conf.default.accept_ra": 0,
        # Every link is a point-to-point cable: there is nobody a duplicate address could belong to.
        "net.ipv6.conf.all.accept_dad": 0,
        "net.ipv6.conf.default.accept_dad": 0,
        "net.ipv6.conf.default.dad_transmits": 0,
        "net.ipv6.conf.all.keep_addr_on_down": 1,
        "net.ipv6.conf.default.keep_addr_on_down": 1,
        # Equal-cost paths make traffic asymmetric by design.
        "net.ipv4.conf.all.rp_filter": 0,
        "net.ipv4.conf.default.rp_filter": 0,
        "net.ipv4.conf.all.arp_ignore": 1,
        "net.ipv4.conf.all.arp_announce": 2,
        # Nor is there anybody who would know a better way than BGP.
        "net.ipv4.conf.all.accept_redirects": 0,
        "net.ipv4.conf.default.accept_redirects": 0,
        "net.ipv6.conf.all.accept_redirects": 0,
        "net.ipv6.conf.default.accept_redirects": 0,
        "net.ipv4.conf.all.send_redirects": 0,
        "net.ipv4.conf.default.send_redirects": 0,
        "net.ipv4.conf.all.ignore_routes_with_linkdown": 1,
        "net.ipv4.conf.default.ignore_routes_with_linkdown": 1,
        "net.ipv6.conf.all.ignore_routes_with_linkdown": 1,
        "net.ipv6.conf.default.ignore_routes_with_linkdown": 1,
        "net.ipv4.fib_multipath_hash_policy": node.hash_policy,
        "net.ipv6.fib_multipath_hash_policy": node.hash_policy,
        # Name spaces share the kernel's hash secret: without a seed of its own every tier chooses alike.
        "net.ipv4.fib_multipath_hash_seed": node.hash_seed,
    }


def sysctl_conf(node: Node) -> str:
    """The same as a sysctl.conf(5)."""
    return "".join(f"{name} = {value}\n" for name, value in sysctls(node).items())


def nftables_conf(fabric: Fabric, node: Node) -> str:
    """What may reach a switch itself, and what a host of the underlay may send, as an nft(8) ruleset."""
    uplinks = fabric.uplinks(node)
    lower = {p.name for p in uplinks if fabric.leads_up(node, p)}
    peers = [(p, p.address.ip) for p in (_far_end(fabric, port) for port in node.ports) if p.address is not None]
    return TEMPLATES.get_template("nftables.conf.j2").render(
        connecting=[] if fabric.numbered else sorted(lower),
        # In a VRF of its own device, what arrives on a port has come in by that device, too.
        peers=[
            ([p.peer_port] + ([p.vrf] if p.vrf != DEFAULT_VRF else []), ip, p.peer_port in lower) for p, ip in peers
        ],
        vteps=fabric.pools.loopbacks if fabric.vrfs(node) else None,
        vxlan_ports=sorted(p.name for p in uplinks),
        host_ports=host_ports(fabric, node, DEFAULT_VRF),
    )


def _far_end(fabric: Fabric, port: Port) -> Port:
    return fabric[port.peer].port(port.peer_port)


def host_ports(fabric: Fabric, node: Node, vrf: str) -> list[tuple[str, list[str], str]]:
    """A leaf's ports to hosts of a VRF, each with the only IPv4 addresses and the IPv6 one packets may be from."""
    found = []
    for port in fabric.downlinks(node):
        host = fabric[port.peer]
        if host.is_host and port.vrf == vrf:
            end = host.port(port.peer_port)
            mine = [*host.addresses, *([end.address.ip] if end.address is not None else [])]
            found.append((port.name, [str(a) for a in mine], str(end.link_local)))
    return found
