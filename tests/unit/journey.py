"""What would be seen of a transfer on the wire, made up packet by packet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from closet.check.wire import wire
from closet.expect.way import Way, expected_way
from closet.intent import load
from closet.plan import Fabric, Node, plan
from closet.records import Endpoint
from closet.roce import icrc
from closet.roce.assembler import Assembler
from closet.roce.endpoint import Attributes
from closet.roce.path import Path as RocePath
from closet.roce.ports import of_qps
from closet.roce.wire import RETH, Op, word
from closet.traffic.rdma import Job, Result
from closet.traffic.sightings import Sighting, Watched
from closet.traffic.wire import Place

from .roce.channel import ip_packet
from .roce.test_packet import checksum

ROOT = Path(__file__).parents[2]
MTU, TOS = 1024, 0x6A


def nic(fabric: Fabric, name: str) -> Endpoint:
    port = fabric[name].ports[0]
    assert port.rail is not None
    return Endpoint(name, port.rail, port.name)


def fabric_of(name: str) -> Fabric:
    return plan(load(ROOT / "topologies" / f"{name}.yaml"))


class Journey:
    """What would be seen of WRITEs on some queue pairs, in both directions, by way of a spine for each."""

    def __init__(self, fabric: Fabric, source: str, target: str, qps: int = 4) -> None:
        self.fabric = fabric
        self.source, self.target = nic(fabric, source), nic(fabric, target)
        self.way: Way = expected_way(fabric, self.source, self.target)
        self.qpns = tuple((100 + n, 5000 + n) for n in range(qps))
        self.job = Job(attributes=Attributes(mtu=MTU, tos=TOS), qps=qps)
        self.sightings: list[Sighting] = []
        for n, (mine, theirs) in enumerate(self.qpns):
            there = [(Op.WRITE_FIRST, MTU), (Op.WRITE_MIDDLE, MTU), (Op.WRITE_LAST, 6)]
            self._flow(self.source, self.target, theirs, of_qps(mine, theirs), n, there)
            self._flow(self.target, self.source, mine, of_qps(mine, theirs), n, [(Op.ACK, 0)])

    def _flow(self, a: Endpoint, b: Endpoint, qpn: int, sport: int, n: int, ops: list[tuple[Op, int]]) -> None:
        path = RocePath(local=str(a.address), remote=str(b.address), sport=sport, tos=TOS, mtu=MTU)
        sent: list[bytes] = []
        out = Assembler(lambda _, data, __: sent.append(bytes(data)))
        for psn, (op, size) in enumerate(ops):
            extended = RETH.pack(0, 0, 2 * MTU + 6) if op == Op.WRITE_FIRST else bytes(4) if op == Op.ACK else b""
            out.packet(path, word(op, qpn, -size & 3), psn, extended, bytes(size))
        for each in sent:
            self.sightings += self._walk(a, b, bytearray(ip_packet(path, each, 0)), n)

    def _walk(self, a: Endpoint, b: Endpoint, packet: bytearray, n: int) -> list[Sighting]:
        fabric = self.fabric
        packet[8] = 64
        leaf, last = (fabric[fabric[e.host].port(e.port or "").peer] for e in (a, b))
        spines = fabric.uplinks(leaf)
        up = spines[n % len(spines)]
        down = next(p for p in fabric[up.peer].ports if p.peer == last.name)
        tenant = fabric[a.host].vrf != "default"
        found: list[Sighting] = []

        def cable(node: Node, port: str, outer_ttl: int = 0) -> None:
            outer = self._outer(leaf, last, packet, outer_ttl) if tenant and outer_ttl else b""
            for place, leaving in ((Place(node.name, port), True), (Place(*self.way.peers[node.name, port]), False)):
                found.append(Sighting(place, leaving, checksum(packet), outer))

        cable(fabric[a.host], a.port or "")
        packet[8] -= 1
        cable(leaf, up.name, 64)
        packet[8] -= not tenant
        cable(fabric[up.peer], down.name, 63)
        packet[8] -= 1
        cable(last, fabric[b.host].port(b.port or "").peer_port)
        return found

    def _outer(self, leaf: Node, last: Node, packet: bytearray, ttl: int) -> bytes:
        vni = min(self.way.vnis)
        length = len(packet) + 50
        ip = bytearray(20)
        ip[0:4] = bytes([0x45, packet[1], length >> 8, length & 255])
        ip[6], ip[8], ip[9] = 0x40, ttl, 17
        ip[12:16], ip[16:20] = leaf.loopback.packed, last.loopback.packed
        sport = 40000 + packet[21]
        udp = sport.to_bytes(2, "big") + (4789).to_bytes(2, "big") + (length - 20).to_bytes(2, "big") + bytes(2)
        return checksum(ip) + udp + b"\x08\0\0\0" + vni.to_bytes(3, "big") + b"\0"

    def watched(self) -> Watched:
        result = Result.__new__(Result)
        object.__setattr__(result, "qpns", self.qpns)
        return Watched(self.source, self.target, self.job, result, tuple(self.sightings), ())

    def findings(self) -> list[str]:
        return [str(f) for f in wire(self.way, self.watched())]

    def where(self, node: str, leaving: bool, op: Op = Op.WRITE_MIDDLE) -> list[int]:
        """The indices of what was seen there."""
        return [
            i
            for i, s in enumerate(self.sightings)
            if s.place.node == node and s.leaving == leaving and s.packet[28] == op
        ]

    def change(self, i: int, at: int, value: int, *, seal: bool = True) -> None:
        p = bytearray(self.sightings[i].packet)
        p[at] = value
        if seal:
            p[-4:] = icrc.of_packet(bytes(p)).to_bytes(4, "little")
        self.sightings[i] = replace(self.sightings[i], packet=checksum(p))

    def change_outer(self, i: int, at: int, value: int) -> None:
        p = bytearray(self.sightings[i].outer)
        p[at] = value
        self.sightings[i] = replace(self.sightings[i], outer=bytes(p))
