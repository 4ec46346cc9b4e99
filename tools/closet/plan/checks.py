"""What must hold of a planned fabric as a whole, whoever chose the numbers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.plan.fabric import VXLAN_OVERHEAD, Fabric, Node, Role

MAX_ASN = 4294967294
"""The last AS number (RFC 7300)."""
MIN_MTU = 1280
"""Bytes: below that a link carries no IPv6 (RFC 8200), and so no unnumbered BGP."""


def check(intent: Intent, fabric: Fabric) -> None:
    """Refuse a plan that contradicts itself.

    Raises:
        IntentError: a loopback where no filter lets it pass, an address or AS number given twice, an equal-cost set
            wider than BGP may install, no room for VXLAN.
    """
    _check_loopbacks(intent, fabric)
    _check_unique(intent, fabric)
    _check_paths(intent, fabric)
    if fabric.tenants and fabric.mtu - VXLAN_OVERHEAD < MIN_MTU:
        raise IntentError(
            f"{intent.name}: links.mtu: {fabric.mtu} leaves {fabric.mtu - VXLAN_OVERHEAD} for tenants inside VXLAN, "
            f"allowed: at least {MIN_MTU + VXLAN_OVERHEAD}"
        )


def _check_loopbacks(intent: Intent, fabric: Fabric) -> None:
    """Every loopback is where the filters of the fabric let it pass and the summary of its leaf covers it."""
    for node in fabric:
        pool, net = _home(intent, fabric, node)
        if node.loopback not in net:
            raise IntentError(
                f"{intent.name}: nodes.{node.name}.loopback: {node.loopback} is outside {pool} {net}, "
                f"allowed: an address in it"
            )


def _check_paths(intent: Intent, fabric: Fabric) -> None:
    """Every equal-cost set is installed whole: which paths of a wider one BGP keeps is nobody's plan."""
    for node in fabric:
        ways = len(fabric.uplinks(node))
        if ways > fabric.max_paths:
            raise IntentError(
                f"{intent.name}: bgp.max_paths: {fabric.max_paths} is less than the {ways} uplinks of {node.name}, "
                f"allowed: at least {ways}"
            )


def _home(intent: Intent, fabric: Fabric, node: Node) -> tuple[str, IPv4Network]:
    """What a node's loopback must be in, and how an intent calls that."""
    if not node.is_host:
        return "pools.loopbacks", intent.pools.loopbacks
    tenant = fabric.tenants.get(node.vrf)
    if tenant is not None and (prefix := tenant.subnet_of(node.name).prefix) is not None:
        return f"the prefix of tenants.{tenant.name}", prefix
    block = None if fabric.multihomed(node) else fabric[node.ports[0].peer].block
    return ("its leaf's block", block) if block is not None else ("pools.vips", intent.pools.vips)


def _check_unique(intent: Intent, fabric: Fabric) -> None:
    """No two nodes share an address; an AS number is one node's, or one shared tier's."""
    address_of: dict[tuple[str, IPv4Address], str] = {}
    asn_of: dict[int, str] = {}
    for node in fabric:
        for address in node.addresses:
            if (other := address_of.setdefault((node.vrf, address), node.name)) != node.name:
                raise IntentError(
                    f"{intent.name}: nodes.{node.name}.loopback: {address} is also of {other}, "
                    f"allowed: an address no other node has"
                )
        if node.loopback in node.addresses[1:]:
            raise IntentError(
                f"{intent.name}: nodes.{node.name}.loopback: {node.loopback} is also of a NIC of its own, "
                f"allowed: an address no NIC has"
            )
        shared = f"{node.role}s" in intent.bgp.asns.shared
        owner = f"the {node.role}s of pod {node.pod}" if shared and node.role is not Role.HOST else "the hosts"
        owner = owner if shared else node.name
        if node.asn > MAX_ASN:
            raise IntentError(f"{intent.name}: bgp.asns: AS {node.asn} of {node.name}, allowed: at most {MAX_ASN}")
        if asn_of.setdefault(node.asn, owner) != owner:
            raise IntentError(
                f"{intent.name}: bgp.asns: AS {node.asn} would be of {owner} and of {asn_of[node.asn]}, "
                f"allowed: one a node (or a tier in bgp.asns.shared)"
            )
