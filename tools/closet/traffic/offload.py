"""What a NIC would do and a veth leaves undone: off, so that every frame in a lab is what would be on a wire.

A veth passes super-packets (UDP_SEGMENT) and unfinished checksums from end to end, as nothing ever has to leave the
machine (Linux Documentation/networking/segmentation-offloads.rst).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from closet.plan import Node
from closet.runtime.node import LiveNode

FEATURES = ("tx-udp-segmentation", "tx-checksum-ip-generic")
"""Names of ethtool(8)."""


@contextmanager
def as_on_a_wire(nodes: Mapping[str, LiveNode], *hosts: Node) -> Iterator[None]:
    """What these hosts send is cut into packets, with whole checksums, before it enters the first cable.

    Raises:
        ProbeError: a host is gone, or its kernel refuses.
    """
    switched: list[tuple[LiveNode, str, list[str]]] = []
    try:
        for host in hosts:
            node = nodes[host.name]
            for port in host.ports:
                was_on = _on(node, port.name)
                _switch(node, port.name, was_on, "off")
                switched.append((node, port.name, was_on))
        yield
    finally:
        for node, name, was_on in switched:
            _switch(node, name, was_on, "on")


def _on(node: LiveNode, port: str) -> list[str]:
    rows = (line.split(":") for line in node.run("ethtool", "-k", port).stdout.splitlines())
    state = {row[0].strip(): row[1].split() for row in rows if len(row) == 2}
    return [f for f in FEATURES if state.get(f, [""])[0:1] == ["on"]]


def _switch(node: LiveNode, port: str, features: list[str], to: str) -> None:
    if features:
        node.run("ethtool", "-K", port, *(word for f in features for word in (f, to)))
