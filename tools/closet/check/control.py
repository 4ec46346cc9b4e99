"""Claims about the control plane: what runs, with which configuration, who talks to whom and what they learn.

And what the kernel makes of it: it is what forwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from closet.check.registry import differences, node_check
from closet.expect import expected_sessions, expected_table_bounds, expected_tables
from closet.expect.lazy import Lazy
from closet.observe import frr, kernel
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Finding, Session, Tables
from closet.render import render_node


def _daemons(fabric: Fabric) -> Mapping[str, frozenset[str]]:
    always = frozenset({"mgmtd", "zebra", "bgpd"} | ({"bfdd"} if fabric.bfd is not None else set()))

    def of(name: str) -> frozenset[str]:
        node = fabric[name]
        may_have = fabric.vrfs(node) or node.config is not None or node.extra is not None
        return always | {"staticd"} if may_have and "staticd.conf" in render_node(fabric, node) else always

    return Lazy(fabric.nodes, of)


def _configs(fabric: Fabric) -> Mapping[str, frozenset[str]]:
    return Lazy(fabric.nodes, lambda name: frr.config_lines(render_node(fabric, fabric[name])["frr.conf"]))


@node_check("every daemon runs", observe=frr.daemons, expect=_daemons)
def daemons(device: str, expected: frozenset[str], observed: frozenset[str]) -> Iterator[Finding]:
    """A daemon that died, or never came up."""
    for name in sorted(expected - observed):
        yield Finding(device, f"daemon {name}", "running", "not running")


@node_check("FRR runs exactly the configuration it was given", observe=frr.running_config, expect=_configs)
def config(device: str, expected: frozenset[str], observed: frozenset[str]) -> Iterator[Finding]:
    """A line FRR did not take, or has beyond what it was given; loading it returns no error for either."""
    for line in sorted(expected - observed):
        yield Finding(device, "running configuration", repr(line), "no such line")
    for line in sorted(observed - expected):
        yield Finding(device, "running configuration", "no such line", repr(line))


@node_check(
    "every planned BGP session is Established, and there is no other", observe=frr.sessions, expect=expected_sessions
)
def sessions(device: str, expected: dict[str, Session], observed: dict[str, Session]) -> Iterator[Finding]:
    """A session that is down, with the wrong neighbour, without BFD, or that nobody planned."""
    yield from differences(device, expected, observed, lambda neighbour: f"BGP {neighbour}")


def say_ports(ports: frozenset[str]) -> str:
    """The next hops of a route in words."""
    return " ".join(sorted(ports)) if ports else "blackhole"


def tables_differ(device: str, what: str, expected: Tables, observed: Tables) -> Iterator[Finding]:
    """Every route of every VRF that is not as planned."""
    for vrf, fib in expected.items():
        where = what if vrf == DEFAULT_VRF else f"{what} {vrf}"
        yield from differences(device, fib, observed.get(vrf, {}), lambda prefix: f"{where} {prefix}", say_ports)  # noqa: B023


def count_routes(expected: Tables) -> int:
    """How many routes a node must have."""
    return sum(map(len, expected.values()))


@node_check(
    "the RIB of every VRF holds the planned routes, as wide as planned, and no other",
    observe=frr.ribs,
    expect=expected_tables,
    count=count_routes,
)
def rib(device: str, expected: Tables, observed: Tables) -> Iterator[Finding]:
    """A route that zebra lacks, has too narrow, or has beyond the plan."""
    yield from tables_differ(device, "RIB", expected, observed)


@node_check(
    "the kernel forwards by the planned routes in every VRF, as wide as planned, and by no other, whoever made it",
    observe=kernel.tables,
    expect=expected_tables,
    count=count_routes,
)
def fib(device: str, expected: Tables, observed: Tables) -> Iterator[Finding]:
    """A route the kernel lacks, has too narrow, or has beyond the plan, whatever FRR says of it."""
    yield from tables_differ(device, "FIB", expected, observed)


@node_check(
    "BGP tables are bounded: summaries, not hosts, travel",
    observe=frr.bgp_table_size,
    expect=expected_table_bounds,
    count=lambda _: 1,
)
def tables(device: str, expected: int, observed: int) -> Iterator[Finding]:
    """A table larger than the design allows for the size of the fabric."""
    if observed > expected:
        yield Finding(device, "BGP table", f"at most {expected} prefixes", f"{observed}")
