"""What a NIC would do and a veth leaves undone: off, so that every frame in a lab is what would be on a wire.

A veth passes super-packets (UDP_SEGMENT) and unfinished checksums from end to end, as nothing ever has to leave the
machine (Linux Documentation/networking/segmentation-offloads.rst).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from closet.plan import Node
from closet.runtime.node import LiveNode
from closet.signals import undoing

FEATURES = ("tx-checksum-ip-generic", "tx-udp-segmentation")
"""Names of ethtool(8)."""


OPPOSITE = {"on": "off", "off": "on"}


def as_on_a_wire(nodes: Mapping[str, LiveNode], *hosts: Node) -> AbstractContextManager[None]:
    """What these hosts send is cut into packets, with whole checksums, before it enters the first cable.

    Raises:
        ProbeError: a host is gone, or its kernel refuses.
    """
    return offloads(nodes, *hosts, to="off")


@contextmanager
def offloads(nodes: Mapping[str, LiveNode], *hosts: Node, to: Literal["on", "off"]) -> Iterator[None]:
    """Those of these hosts' ports are on, or off, and afterwards as before.

    Raises:
        ProbeError: as `as_on_a_wire`.
    """
    with undoing() as undo:
        for host in hosts:
            node = nodes[host.name]
            for port in host.ports:
                others = _in_state(node, port.name, OPPOSITE[to])
                undo.callback(_switch, node, port.name, others, OPPOSITE[to])  # first: it may be cut in two
                _switch(node, port.name, others, to)
        yield


def _in_state(node: LiveNode, port: str, wanted: str) -> list[str]:
    rows = (line.split(":") for line in node.run("ethtool", "-k", port).stdout.splitlines())
    state = {row[0].strip(): row[1].split() for row in rows if len(row) == 2}
    return [f for f in FEATURES if state.get(f, [""])[0:1] == [wanted]]


def _switch(node: LiveNode, port: str, features: list[str], to: str) -> None:
    if features:
        node.run("ethtool", "-K", port, *(word for f in features for word in (f, to)))
