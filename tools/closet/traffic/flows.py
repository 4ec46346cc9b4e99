"""How flows spread: many UDP flows, one packet each, and the byte counters of every port they may take."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from closet.errors import ProbeError
from closet.observe.kernel import sent_bytes
from closet.plan import DEFAULT_VRF, Fabric
from closet.plan.fabric import VXLAN_OVERHEAD
from closet.records import Endpoint, Fan, Round, Stream
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode

FIRST_SOURCE_PORT = 0xC000
"""Where RoCEv2 source ports begin (Linux include/rdma/ib_verbs.h: IB_ROCE_UDP_ENCAP_VALID_PORT_MIN)."""
BATCH = 128
"""Sockets open at once."""
PAYLOAD = 1200
"""Bytes: large beside BGP's and BFD's packets, so that they do not count."""
FRAME = 14 + 20 + 8 + PAYLOAD


def spread(fabric: Fabric, nodes: Mapping[str, LiveNode], expected: Mapping[Fan, Round]) -> dict[Fan, dict[str, int]]:
    """Send the streams of every round; fan → port → flows that left by it.

    Raises:
        ProbeError: a stream could not be sent.
    """
    found: dict[Fan, dict[str, int]] = {}
    for this in dict.fromkeys(expected.values()):
        fans = [fan for fan, its in expected.items() if its is this]
        with ExitStack() as stack:
            for target in dict.fromkeys(s.target for s in this.streams):
                stack.enter_context(_sink(nodes[target.host], target))
            before = {fan: sent_bytes(nodes[fan.node]) for fan in fans}
            for stream in this.streams:
                send(nodes[stream.source.host], stream)
            after = {fan: sent_bytes(nodes[fan.node]) for fan in fans}
        for fan in fans:
            frame = FRAME + (VXLAN_OVERHEAD if fan.vrf != DEFAULT_VRF and not fabric[fan.node].is_host else 0)
            found[fan] = {p: round((after[fan][p] - before[fan][p]) / frame) for p in fan.ports}
    return found


def send(node: LiveNode, stream: Stream) -> None:
    """One packet of every flow of a stream, each from a socket of its own as a QP would be.

    Raises:
        ProbeError: a packet could not be sent.
    """
    address, to = str(stream.source.address), (str(stream.target.address), UDP_PORT)
    for first in range(0, stream.flows, BATCH):
        count = min(BATCH, stream.flows - first)
        try:
            node.send_flows((address, FIRST_SOURCE_PORT + first), count, to, bytes(PAYLOAD), port=stream.source.port)
        except OSError as e:
            raise ProbeError(f"{stream.source}: UDP to {stream.target}: {e.strerror}") from None


def _sink(node: LiveNode, target: Endpoint) -> socket.socket:
    """Something that takes the packets, so that nobody answers them with ICMP."""
    s = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((str(target.address), UDP_PORT))
    except OSError as e:
        if e.errno != errno.EADDRINUSE:  # else Soft-RoCE has the port, and takes them as well
            s.close()
            raise ProbeError(f"{target}: UDP {UDP_PORT}: {e.strerror}") from None
    return s
