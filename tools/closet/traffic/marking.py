"""Congestion points: switches that mark RoCEv2 beyond a rate at each of their ports, as nftables can.

A token bucket a port is a virtual queue that drains at some rate: what does not fit it is marked. It marks as RED with
Kmin = Kmax does (DCTCP's way; Alizadeh et al., SIGCOMM 2010, section 3.1), before a real queue comes to be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from closet.observe.kernel import places
from closet.observe.marks import TABLE, counter
from closet.plan import Fabric, Node
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode
from closet.signals import undoing

AWAY = f"table inet {TABLE} {{ }}\ndelete table inet {TABLE}\n"
"""Removes a switch's congestion points, whether or not it came to have any."""


@contextmanager
def marking(
    fabric: Fabric, nodes: Mapping[str, LiveNode], *, rate: float, between: float, burst: int, off: Collection[str] = ()
) -> Iterator[None]:
    """All switches are congestion points.

    Args:
        rate: bit/s that a port to a host may send before it marks; between: one to another switch.
        burst: bytes of the virtual queue.
        off: switches that count what is beyond it, but do not mark.

    Raises:
        ProbeError: a switch is gone, or its kernel refuses.
    """
    with undoing() as undo:
        for switch in fabric.switches:
            node = nodes[switch.name]
            for vrf in places(node, fabric):
                rules = ruleset(fabric, switch, rate, between, burst, marks=switch.name not in off)
                undo.callback(node.run, "nft", "-f", "-", stdin=AWAY, vrf=vrf)  # first: it may be cut in two
                node.run("nft", "-f", "-", stdin=rules, vrf=vrf)
        yield


def ruleset(fabric: Fabric, switch: Node, rate: float, between: float, burst: int, *, marks: bool) -> str:
    """The congestion points of all ports of a switch, as nftables reads it; for what is inside VXLAN, too."""
    counters, rules = [], []
    for port in switch.ports:
        beyond, marked = counter("beyond", switch, port.name), counter("marked", switch, port.name)
        counters += [f"counter {beyond} {{ }}", f"counter {marked} {{ }}"]
        mark = f" ip ecn set ce counter name {marked}" if marks else ""
        most = rate if fabric[port.peer].is_host else between
        rules.append(
            f'oifname "{port.name}" udp dport {{ 4789, {UDP_PORT} }} ip ecn != not-ect '
            f"limit rate over {round(most / 8)} bytes/second burst {burst} bytes counter name {beyond}{mark}"
        )
    chain = "\n".join(["type filter hook forward priority 10;", *rules])
    return f"table inet {TABLE} {{\n" + "\n".join(counters) + f"\nchain points {{\n{chain}\n}}\n}}\n"
