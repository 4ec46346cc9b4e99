"""One RDMA transfer, and every packet of it wherever it came by: at either end of every cable it may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode
from closet.traffic import rdma, verbs
from closet.traffic.offload import as_on_a_wire
from closet.traffic.wire import Frame, Place, Wire
from closet.traffic.worker import End

ETHERNET, IPV4, UDP, VXLAN = 14, 20, 8, 8
"""Bytes of the headers."""
VXLAN_PORT = 4789
"""RFC 7348."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A packet where it was seen.

    Attributes:
        leaving: whether it left by that port, or arrived at it.
        packet: from its IPv4 header on. outer: the IPv4, UDP and VXLAN headers it was inside of, b"" without.
    """

    place: Place
    leaving: bool
    packet: bytes
    outer: bytes = b""


@dataclass(frozen=True, slots=True)
class Watched:
    """A transfer that was watched.

    Attributes:
        sightings: of each place in the order they came by. frames: all that was seen, other protocols, too.
    """

    source: Endpoint
    target: Endpoint
    job: rdma.Job | verbs.Job
    result: rdma.Result | verbs.Result
    sightings: tuple[Sighting, ...]
    frames: tuple[Frame, ...]

    def save(self, path: Path) -> None:
        """Write what was seen as a pcapng file, an interface a port: it opens in Wireshark and tshark."""
        from scapy.utils import PcapNgWriter

        writer = PcapNgWriter(str(path))
        writer.linktype = 1  # Ethernet
        writer.header_present = False
        try:
            writer._write_header(None)  # noqa: SLF001  with no packet to write first, nothing else does
            for frame in sorted(self.frames, key=lambda f: f.time):
                writer._write_packet(  # noqa: SLF001  the only way to name interfaces without dissecting packets
                    frame.data,
                    linktype=1,
                    sec=frame.time,
                    ifname=str(frame.place).encode(),
                    direction=2 if frame.leaving else 1,
                )
        finally:
            writer.close()


def watch(
    fabric: Fabric, nodes: Mapping[str, LiveNode], source: Endpoint, target: Endpoint, job: rdma.Job | verbs.Job
) -> Watched:
    """Do a job while watching all cables between switches, and those of the two hosts.

    Raises:
        ProbeError: a node is gone, or not all could be seen; then nothing is said of the fabric.
    """
    hosts = {source.host, target.host}
    places = [p for link in fabric.links for p in (Place(link.a, link.a_port), Place(link.b, link.b_port))]
    mine = [p for p in places if p.node in hosts or not _serves_others(fabric, p, hosts)]
    ready = _done_as_on_a_wire(fabric, nodes, (source, target), job)
    with ready as do, Wire(fabric, nodes, mine, leaving=True) as wire:
        result = do()
        frames = wire.all()
    sightings = tuple(sightings_in(frames, {source.address, target.address}))
    told = sum(1 for s in sightings if s.leaving and s.place.node == source.host)
    if not told:
        raise ProbeError(f"{source}: none of its RoCEv2 packets to {target} were seen leaving it")
    return Watched(source, target, job, result, sightings, tuple(frames))


@contextmanager
def _done_as_on_a_wire(
    fabric: Fabric, nodes: Mapping[str, LiveNode], ends: tuple[Endpoint, Endpoint], job: rdma.Job | verbs.Job
) -> Iterator[Callable[[], rdma.Result | verbs.Result]]:
    """What does a job, while all that leaves the two hosts by RDMA is packets; Soft-RoCE makes nothing else."""
    a, b = ((nodes[e.host], e) for e in ends)
    if isinstance(job, verbs.Job):
        yield lambda: verbs.transfer(End(*a), End(*b), job, timed=False)
    else:
        with as_on_a_wire(nodes, *(fabric[e.host] for e in ends)):
            yield lambda: rdma.transfer(End(*a), End(*b), job)


def _serves_others(fabric: Fabric, place: Place, hosts: set[str]) -> bool:
    """Whether a port belongs to a host that has no part in it, or leads to one."""
    peer = fabric[place.node].port(place.port).peer
    return any(fabric[n].is_host and n not in hosts for n in (place.node, peer))


def sightings_in(frames: Iterable[Frame], addresses: set[IPv4Address]) -> list[Sighting]:
    """The RoCEv2 packets among frames that go from one of these addresses to another, and fragments of any."""
    found = []
    wanted = {a.packed for a in addresses}
    for frame in frames:
        packet, outer = dissect(frame.data)
        if packet and (is_fragment(packet) or (packet[12:16] in wanted and packet[16:20] in wanted)):
            found.append(Sighting(frame.place, frame.leaving, packet, outer))
    return found


def dissect(frame: bytes) -> tuple[bytes, bytes]:
    """The RoCEv2 packet in an Ethernet frame, or a fragment of UDP; and the headers of VXLAN it was inside of.

    Both are b"" where there is none.
    """
    packet = _udp(frame)
    if packet and not is_fragment(packet) and _port(packet) == VXLAN_PORT:
        inside = IPV4 + UDP + VXLAN
        inner = _udp(packet[inside:])
        return (inner, packet[:inside]) if inner and _port(inner) == UDP_PORT else (b"", b"")
    return (packet, b"") if packet and (is_fragment(packet) or _port(packet) == UDP_PORT) else (b"", b"")


def is_fragment(packet: bytes) -> bool:
    """Whether an IPv4 packet is a piece of another one."""
    return bool(int.from_bytes(packet[6:8], "big") & 0x3FFF)


def _udp(frame: bytes) -> bytes:
    """The IPv4 packet in a frame, without what fills the frame up, if it carries UDP."""
    packet = frame[ETHERNET:]
    if frame[12:14] != b"\x08\x00" or len(packet) < IPV4 + UDP or packet[9] != 17:
        return b""
    return packet[: int.from_bytes(packet[2:4], "big")]


def _port(packet: bytes) -> int:
    return int.from_bytes(packet[22:24], "big")
