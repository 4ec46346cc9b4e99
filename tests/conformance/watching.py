"""Two hosts whose RoCEv2 is watched, and rules that a switch did not have: what several files of tests need."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from closet.check.wire import wire
from closet.expect.elephants import expected_fans
from closet.expect.overlay import expected_tables
from closet.expect.reach import expected_hops
from closet.expect.way import Way, expected_way
from closet.lab import Lab
from closet.plan import DEFAULT_VRF
from closet.records import Endpoint, Fan, Finding
from closet.roce.endpoint import Attributes
from closet.roce.wire import path_mtu
from closet.traffic.rdma import Job, limits
from closet.traffic.sightings import Watched, watch
from closet.traffic.worker import End

from . import changes


class Watch:
    """Two endpoints of one VRF, as far apart as there are any."""

    def __init__(self, lab: Lab, source: Endpoint, target: Endpoint, folder: Path) -> None:
        self.lab = lab
        self.source, self.target = source, target
        self.way: Way = expected_way(lab.fabric, source, target)
        self.pcap = folder / f"{source.host}-{target.host}.pcapng"

    @property
    def vrf(self) -> str:
        return self.lab.fabric[self.source.host].vrf

    @property
    def ends(self) -> tuple[End, End]:
        return End(self.lab[self.source.host], self.source), End(self.lab[self.target.host], self.target)

    def attributes(self, **more: Any) -> Attributes:
        mtu = path_mtu(min(self.lab.fabric[e.host].port(e.port or "").mtu for e in (self.source, self.target)))
        return Attributes(mtu=mtu, **{"limits": limits(1), **more})

    def job(self, **more: Any) -> Job:
        """Three packets and some bytes, twice, on six queue pairs, if not said otherwise."""
        attributes = self.attributes(limits=limits(more.get("qps", 6)))
        return Job(**{"attributes": attributes, "size": 3 * attributes.mtu + 5, "messages": 2, "qps": 6, **more})

    def see(self, **more: Any) -> Watched:
        return watch(self.lab.fabric, self.lab.nodes, self.source, self.target, self.job(**more))

    def findings(self, seen: Watched) -> list[Finding]:
        """What is found; the frames are then kept in the test's folder."""
        found = list(wire(self.way, seen))
        if found:
            seen.save(self.pcap)
        return found

    def fans(self) -> list[Fan]:
        """Equal-cost sets of switches on the way."""
        fans = expected_fans(self.lab.fabric, self.source, self.target)
        return [f for f in fans if not self.lab.fabric[f.node].is_host]

    def leaf(self, end: Endpoint) -> tuple[str, str]:
        """Its leaf, and the port there."""
        port = self.lab.fabric[end.host].port(end.port or "")
        return port.peer, port.peer_port


def pairs(lab: Lab, by: Collection[str] = ("none", "endpoint")) -> dict[str, tuple[Endpoint, Endpoint]]:
    """VRF → two NICs in it that meet, with as many routers between them as any have there.

    Args:
        by: what the hosts should speak RDMA by, as the intent says it.
    """
    fabric = lab.fabric
    speak = {h.name for h in fabric.hosts if h.rdma in by}
    found: dict[str, tuple[int, tuple[Endpoint, Endpoint]]] = {}
    for (a, b), hops in expected_hops(fabric, expected_tables(fabric)).items():
        vrf = fabric[a.host].vrf
        if hops and a.port and b.port and {a.host, b.host} <= speak and vrf == fabric[b.host].vrf:
            apart = fabric[a.host].port(a.port).peer != fabric[b.host].port(b.port).peer
            far = max(hops) + apart
            if far > found.get(vrf, (0,))[0]:
                found[vrf] = far, (a, b)
    return {vrf: pair for vrf, (_, pair) in found.items()}


def in_the_underlay(lab: Lab, folder: Path) -> Watch | None:
    """None where no two hosts of the underlay have a userspace endpoint."""
    there = pairs(lab)
    return Watch(lab, *there[DEFAULT_VRF], folder) if DEFAULT_VRF in there else None


def in_a_tenant(lab: Lab, folder: Path) -> Watch | None:
    """None where no tenant has two such hosts."""
    its = [pair for vrf, pair in pairs(lab).items() if vrf != DEFAULT_VRF]
    return Watch(lab, *its[0], folder) if its else None


@contextmanager
def nft(lab: Lab, node: str, vrf: str, chain: str) -> Iterator[None]:
    """A chain of rules on a node, where the devices of a VRF are."""
    changes.inside(lab, node, vrf, "nft", "-f", "-", stdin=f"table inet closet-test {{ chain c {{ {chain} }}; }}\n")
    try:
        yield
    finally:
        changes.inside(lab, node, vrf, "nft", "delete", "table", "inet", "closet-test")


@contextmanager
def ingress(lab: Lab, node: str, vrf: str, port: str, rule: str) -> Iterator[None]:
    """A rule for what arrives at a port: after any tap has seen it, and before anything else of the node has."""
    chain = f'type filter hook ingress device "{port}" priority 0; {rule};'
    table = f"table netdev closet-test {{ chain c {{ {chain} }}; }}\n"
    changes.inside(lab, node, vrf, "nft", "-f", "-", stdin=table)
    try:
        yield
    finally:
        changes.inside(lab, node, vrf, "nft", "delete", "table", "netdev", "closet-test")


@contextmanager
def narrow(lab: Lab, node: str, vrf: str, port: str, rate: str) -> Iterator[None]:
    """What leaves by a port waits for its turn, and none of it is dropped."""
    changes.inside(lab, node, vrf, *f"tc qdisc add dev {port} root tbf rate {rate} burst 32kb limit 8mb".split())
    try:
        yield
    finally:
        changes.inside(lab, node, vrf, *f"tc qdisc del dev {port} root".split())
