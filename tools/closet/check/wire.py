"""The claims about RoCEv2 on the wire: what is true of each packet, and of its way from cable to cable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from closet.check.packet import faults
from closet.check.trail import Trail, align, trails
from closet.expect.way import Way
from closet.records import Finding
from closet.roce.ports import of_qps
from closet.roce.qp import CNP_TOS
from closet.roce.wire import Op
from closet.traffic.sightings import VXLAN_PORT, Sighting, Watched, is_fragment

CE = 3
SEVERAL = 4
"""Queue pairs whose VXLAN source ports are not all equal by chance."""
CLAIMS = (
    "BTH legal, ICRC right, no fragment, UDP to 4791",
    "only TTL, checksum and MACs differ from hop to hop",
    "DSCP and ECN kept, and copied to VXLAN",
    "path MTU respected, VXLAN's 50 bytes included",
    "one source port a QP, the kernel's; one path a QP",
    "no packet lost, repeated or overtaken",
)
Where = tuple[str, str, str]
"""Device, subject, what is expected."""


@dataclass(slots=True)
class _Tally:
    """Findings of a kind are one line: how many packets, and what was seen of the first."""

    counts: dict[Where, int]
    first: dict[Where, str]

    def add(self, device: str, subject: str, expected: str, observed: str) -> None:
        key = (device, subject, expected)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.first.setdefault(key, observed)

    def findings(self) -> Iterator[Finding]:
        for key, count in self.counts.items():
            more = f" (and {count - 1} more)" if count > 1 else ""
            yield Finding(*key, self.first[key] + more)


def wire(expected: Way, observed: Watched) -> Iterator[Finding]:
    """What is not as it should be of a transfer over a healthy, uncongested fabric; one line a kind and place. Pure."""
    tally = _Tally({}, {})
    whole = []
    for s in observed.sightings:
        if is_fragment(s.packet):
            tally.add(*_at(s, "no fragment"), "DF and no fragment", _named(s))
        else:
            _packet(expected, observed.job.mtu, s, tally)
            whole.append(s)
    ways = trails(expected, whole)
    for trail in ways:
        _trail(expected, observed, trail, tally)
    _ports(expected, observed, ways, tally)
    yield from tally.findings()


def claims(observed: Watched) -> int:
    """How many single claims were judged: each of every sighting."""
    return len(CLAIMS) * len(observed.sightings)


def _at(s: Sighting, subject: str) -> tuple[str, str]:
    return s.place.node, f"{s.place.port} {'out' if s.leaving else 'in'}: {subject}"


def _named(s: Sighting) -> str:
    op = s.packet[28] if len(s.packet) > 40 else -1
    name = Op(op).name if op in Op._value2member_map_ else f"opcode {op}"
    qpn, psn = int.from_bytes(s.packet[33:36], "big"), int.from_bytes(s.packet[37:40], "big")
    return f"{name} to QP {qpn}, PSN {psn}, {len(s.packet)} bytes"


def _packet(expected: Way, mtu: int, s: Sighting, tally: _Tally) -> None:
    """One packet at one place."""
    for what, want, got in faults(s.packet, mtu):
        tally.add(*_at(s, what), want, f"{got} in {_named(s)}")
    size, most = len(s.outer) + (14 if s.outer else 0) + len(s.packet), expected.mtus[s.place.node, s.place.port]
    if size > most:
        tally.add(*_at(s, "IP MTU"), f"at most {most} bytes", f"{size} bytes: {_named(s)}")
    if s.outer:
        _vxlan(expected, s, tally)


def _vxlan(expected: Way, s: Sighting, tally: _Tally) -> None:
    """What a packet is wrapped in between leaves (RFC 7348; RFC 6040 for ECN: a mark is not copied outwards)."""
    outer, inner = s.outer, s.packet
    ecn = 2 if inner[1] & 3 == CE else inner[1] & 3
    tos = inner[1] & ~3 | ecn
    # On its way it may be marked itself.
    if outer[1] != tos and outer[1] != tos | CE:
        tally.add(*_at(s, "ToS of VXLAN"), f"{tos:#04x} as inside", f"{outer[1]:#04x}: {_named(s)}")
    vni = int.from_bytes(outer[32:35], "big")
    if vni not in expected.vnis:
        tally.add(*_at(s, "VNI"), " or ".join(map(str, sorted(expected.vnis))) or "no VXLAN", f"{vni}: {_named(s)}")
    hosts = {expected.source.address: expected.source.host, expected.target.address: expected.target.host}
    for what, at in (("from", 12), ("to", 16)):
        vtep, host = IPv4Address(outer[at : at + 4]), hosts.get(IPv4Address(inner[at : at + 4]), "")
        if vtep not in expected.vteps.get(host, ()):
            tally.add(*_at(s, f"VTEP {what}"), f"{host}'s leaf", f"{vtep}: {_named(s)}")
    if int.from_bytes(outer[22:24], "big") != VXLAN_PORT or int.from_bytes(outer[6:8], "big") & 0x3FFF:
        tally.add(*_at(s, "VXLAN"), f"UDP to {VXLAN_PORT}, no fragment", _named(s))


def _trail(expected: Way, observed: Watched, trail: Trail, tally: _Tally) -> None:
    """All packets of a queue pair in one direction, along their way."""
    for node, ports in trail.forks:
        tally.add(node, f"path of QP {trail.qpn}", "one port", f"{len(ports)}: {' '.join(ports)}")
    for s in trail.strays:
        tally.add(*_at(s, f"path of QP {trail.qpn}"), "not here", _named(s))
    if not trail.stops:
        tally.add(trail.host, f"QP {trail.qpn}", "packets leaving it", "none, though some were seen elsewhere")
        return
    tos = observed.job.tos
    for s in trail.stops[0]:
        want = CNP_TOS if s.packet[28] == Op.CNP else tos
        if s.packet[1] != want:
            tally.add(*_at(s, "ToS"), f"{want:#04x}", f"{s.packet[1]:#04x}: {_named(s)}")
    for before, after in zip(trail.stops, trail.stops[1:], strict=False):
        _step(trail, before, after, tally)
    if not trail.arrives:
        last = trail.stops[-1][0]
        tally.add(*_at(last, f"path of QP {trail.qpn}"), "onward to its host", "never seen again")
        return
    crossed = {a.packet[8] - b.packet[8] for a, b in align(trail.stops[0], trail.stops[-1]).pairs}
    if not crossed <= expected.routers:
        routers = " or ".join(map(str, sorted(expected.routers)))
        tally.add(trail.host, f"routers on the path of QP {trail.qpn}", routers, " ".join(map(str, sorted(crossed))))


def _step(trail: Trail, before: Sequence[Sighting], after: Sequence[Sighting], tally: _Tally) -> None:
    """From one end of a cable to the other, or through a switch."""
    a, b = before[0], after[0]
    onward = f"{b.place.node} {b.place.port}" if a.leaving else b.place.port
    where = a.place.node, f"{a.place.port} to {onward}"
    aligned = align(before, after)
    for s in aligned.lost:
        tally.add(*where, "no packet lost", _named(s))
    for s in aligned.extra:
        tally.add(*where, "no packet repeated or made up", _named(s))
    for s in aligned.late:
        tally.add(*where, "no packet overtaken", _named(s))
    for x, y in aligned.pairs:
        _same(x, y, where, tally)


def _same(a: Sighting, b: Sighting, where: tuple[str, str], tally: _Tally) -> None:
    """Only what a router changes is changed: TTL, by one where it forwards, and the checksum."""
    wrapped = bool(a.outer), bool(b.outer)
    through = 0 if a.leaving else 1
    inner_step = through if wrapped != (True, True) else 0
    _compare("", a.packet, b.packet, inner_step, where, tally, b)
    if wrapped == (True, True):
        _compare("VXLAN's ", a.outer, b.outer, through, where, tally, b)


def _compare(what: str, a: bytes, b: bytes, step: int, where: tuple[str, str], tally: _Tally, s: Sighting) -> None:
    device, subject = where
    if a[8] - b[8] != step:
        tally.add(device, f"{subject}: {what}TTL", f"less by {step}", f"{a[8]} then {b[8]}: {_named(s)}")
    if a[1] != b[1]:
        tally.add(
            device, f"{subject}: {what}DSCP and ECN", "as they came", f"{a[1]:#04x} then {b[1]:#04x}: {_named(s)}"
        )
    if (a[:1], a[2:8], a[9:10], a[12:]) != (b[:1], b[2:8], b[9:10], b[12:]):
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y and i not in {1, 8, 10, 11}), len(a))
        tally.add(device, f"{subject}: {what}bytes", "as they came", f"byte {at} differs: {_named(s)}")


def _ports(expected: Way, observed: Watched, ways: Sequence[Trail], tally: _Tally) -> None:
    """Source ports: one a queue pair, the kernel's of its two numbers, so mostly another for another."""
    found: dict[tuple[str, int], set[int]] = {}
    outer: dict[tuple[str, int], set[int]] = {}
    for trail in ways:
        key = trail.host, trail.qpn
        found.setdefault(key, set()).add(trail.sport)
        ports = {int.from_bytes(s.outer[20:22], "big") for stop in trail.stops for s in stop if s.outer}
        outer.setdefault(key, set()).update(ports)
    for mine, theirs in observed.result.qpns:
        want = of_qps(mine, theirs)
        for host, qpn in ((expected.source.host, theirs), (expected.target.host, mine)):
            got = found.get((host, qpn), set())
            if got != {want}:
                said = " ".join(map(str, sorted(got))) or "no packet"
                tally.add(host, f"source port to QP {qpn}", str(want), said)
    _outer_ports(outer, tally)


def _outer_ports(outer: Mapping[tuple[str, int], set[int]], tally: _Tally) -> None:
    """VXLAN's source port follows what is inside (RFC 7348 section 5), or spines could not tell flows apart."""
    of_host: dict[str, list[set[int]]] = {}
    for (host, qpn), ports in outer.items():
        if len(ports) > 1:
            tally.add(host, f"VXLAN's source port for QP {qpn}", "one", f"{len(ports)}")
        of_host.setdefault(host, []).append(ports)
    for host, told in of_host.items():
        if len(told) >= SEVERAL and len(set().union(*told)) == 1:
            tally.add(host, "VXLAN's source ports", "different ones for different QPs", "one for all")
