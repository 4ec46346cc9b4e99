"""The kernel settings the design needs, said by what each is for; apart from those that are rendered."""

from __future__ import annotations

from closet.plan import DEFAULT_VRF, Fabric, Node
from closet.records import Settings

ROUTES_ARE_BGPS = (
    *(f"ipv6.conf.{where}.accept_ra" for where in ("all", "default")),
    *(f"{ip}.conf.{where}.accept_redirects" for ip in ("ipv4", "ipv6") for where in ("all", "default")),
    *(f"ipv4.conf.{where}.send_redirects" for where in ("all", "default")),
)
"""Zero: nobody else tells a kernel the way, nor is told by it."""
LINKS_ARE_CABLES = (
    *(f"ipv6.conf.{where}.accept_dad" for where in ("all", "default")),
    "ipv6.conf.default.dad_transmits",
)
"""Zero: an address is good at once (RFC 4862 section 5.4), as there is nobody else on the link."""
PATHS_MAY_DIFFER = tuple(f"ipv4.conf.{where}.rp_filter" for where in ("all", "default"))
"""Zero: a packet may come by another equal-cost path than an answer goes (RFC 3704)."""
LINKS_MAY_FAIL = (
    *(f"ipv6.conf.{where}.keep_addr_on_down" for where in ("all", "default")),
    *(f"{ip}.conf.{where}.ignore_routes_with_linkdown" for ip in ("ipv4", "ipv6") for where in ("all", "default")),
)
"""One: addresses outlive a link, next hops do not."""


def expected_settings(fabric: Fabric) -> dict[str, Settings]:
    """Node → VRF → setting by dotted name → value; VRFs that are namespaces of their own have those of the underlay."""
    return {node.name: {DEFAULT_VRF: _of(node)} for node in fabric}


def _of(node: Node) -> dict[str, int]:
    forwards = ("ipv4.ip_forward", *(f"ipv6.conf.{where}.forwarding" for where in ("all", "default")))
    values = dict.fromkeys((*ROUTES_ARE_BGPS, *LINKS_ARE_CABLES, *PATHS_MAY_DIFFER), 0)
    values |= dict.fromkeys(LINKS_MAY_FAIL, 1) | dict.fromkeys(forwards, int(not node.is_host))
    # ARP is about the address of the port it comes by, or goes by, alone.
    values |= {"ipv4.conf.all.arp_ignore": 1, "ipv4.conf.all.arp_announce": 2}
    values |= {f"{ip}.fib_multipath_hash_policy": node.hash_policy for ip in ("ipv4", "ipv6")}
    values["ipv4.fib_multipath_hash_seed"] = node.hash_seed
    return {f"net.{name}": value for name, value in values.items()}
