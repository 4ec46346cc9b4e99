"""Measuring a running fabric, routed or stretched, in the same way."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.contrast import design, frames
from closet.contrast.results import Copies, Growth, Load, Side, parse_pings
from closet.contrast.stretch import FLOOD
from closet.errors import ProbeError
from closet.lab import Lab
from closet.observe import netlink
from closet.observe.kernel import sent_bytes
from closet.observe.vty import ask_json
from closet.plan import DEFAULT_VRF, Node, Port, Role
from closet.traffic.wire import Place, Wire

NUD_PERMANENT = 0x80
BROADCASTS = 100
"""Frames to count the copies of."""
LINK_MBIT = 20
"""Mb/s that every link of a storm's fabric carries: little enough that links are scarce, and not processors."""
STORM_FRAME = 1000
PACE = 0.002
"""Seconds between two bursts of a storm."""
PING = ["ping", "-q", "-n", "-i", "0.02", "-c", "150", "-W", "1", "-s", "400", "-Q", str(frames.TOS)]
STILL = 1.0
"""Seconds without a change after which tables count as settled."""


def measure(lab: Lab, address: Callable[[Node], IPv4Address], per_host: list[int], say: Callable[[str], None]) -> Side:
    """Measure a fabric; afterwards its links are slow, and it is good for nothing else.

    Args:
        address: where a host answers pings of its tenant.
        per_host: endpoints to have behind each host of the first tenant, one after another.

    Raises:
        ProbeError: something could not be measured, or a control failed.
    """
    growth = []
    for n in per_host:
        say(f"{lab.name}: {n} endpoints a host")
        growth.append(_grow(lab, n))
    say(f"{lab.name}: broadcast")
    copies = _copies(lab)
    _slow_down(lab)
    say(f"{lab.name}: pings without a storm")
    quiet = _load(lab, address, storm=False)
    say(f"{lab.name}: pings in a storm")
    return Side(tuple(growth), copies, quiet, _load(lab, address, storm=True))


def _grow(lab: Lab, per_host: int) -> Growth:
    """Let every endpoint say it is there, and count what the switches keep."""
    hosts = design.hosts(lab.fabric, design.TENANTS[0])
    before = {h.name: _received(lab, h)[0] for h in hosts}
    for host in hosts:
        with Wire(lab.fabric, lab.nodes, ()) as wire:
            said = (frames.announcement(frames.endpoint_mac(host.number, i)) for i in range(per_host))
            wire.put(_place(host, host.ports[0]), said)
    seen: list[tuple[float, dict[str, int]]] = [(time.monotonic(), {})]

    def settled() -> bool:
        heard = all(_received(lab, h)[0] - before[h.name] >= per_host for h in hosts)
        if (now := mac_entries(lab)) != seen[-1][1]:
            seen.append((time.monotonic(), now))
        return heard and time.monotonic() - seen[-1][0] >= STILL

    try:
        Retrying(stop=stop_after_delay(120), wait=wait_fixed(0.1), retry=retry_if_result(lambda done: not done))(
            settled
        )
    except RetryError:
        raise ProbeError(f"{lab.name}: {per_host} endpoints a host: not settled in 120 s: {seen[-1][1]}") from None
    entries = seen[-1][1]
    spine = next(n for n in lab.fabric.switches if n.role is not Role.LEAF)
    routes: int = ask_json(lab[spine.name], "bgpd", "show bgp l2vpn evpn json").get("numPrefix", 0)
    return Growth(per_host * len(hosts), max(entries.values()), sum(entries.values()), routes)


def mac_entries(lab: Lab) -> dict[str, int]:
    """Switch → its MAC entries: the different MACs of each bridge that are another device's."""
    return {switch.name: len(set(_macs(lab, switch.name))) for switch in lab.fabric.switches}


def _macs(lab: Lab, switch: str) -> Iterator[tuple[str, int, str]]:
    node = lab[switch]
    for vrf in (DEFAULT_VRF, *(t for t in design.TENANTS if node.has_namespace(t))):
        masters = {link.index: link.master for link in netlink.links(node, vrf)}
        for entry in netlink.neighbours(node, socket.AF_BRIDGE, vrf):
            if entry.state & NUD_PERMANENT or entry.mac == FLOOD or int(entry.mac[:2], 16) & 1:
                continue
            # A VXLAN device keeps its own beside the bridge's: one entry, in two places.
            yield vrf, masters.get(entry.index) or entry.index, entry.mac


def _copies(lab: Lab) -> Copies:
    """Send marked broadcasts, and count them on every link between switches and at every other host."""
    sender, *_ = design.hosts(lab.fabric, design.TENANTS[0])
    entry = _place(*_leaf_port(lab, sender))
    between = {_place(*port) for port in _between_switches(lab)}
    others = {_place(h, h.ports[0]) for h in lab.fabric.hosts if h is not sender}
    counts: Counter[Place] = Counter()
    with Wire(lab.fabric, lab.nodes, (entry, *between, *others), leaving=True) as wire:
        sent = (frames.broadcast(_mac(sender), 1024 + i, 200) for i in range(BROADCASTS))
        wire.put(_place(sender, sender.ports[0]), sent)

        def still() -> bool:
            before = counts.copy()
            counts.clear()
            marked = (f for f in wire.all() if frames.MARK in f.data)
            counts.update(f.place for f in marked if f.leaving is (f.place in between))
            return counts == before and counts[entry] >= BROADCASTS

        try:
            Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.5), retry=retry_if_result(lambda r: not r))(still)
        except RetryError:
            raise ProbeError(f"{sender.name}: {BROADCASTS} broadcasts sent, its leaf saw {counts[entry]}") from None
    return Copies(counts[entry], sum(counts[p] for p in between), sum(counts[p] for p in others))


def _load(lab: Lab, address: Callable[[Node], IPv4Address], *, storm: bool) -> Load:
    """Ping within the storming host's tenant and within the other, and weigh what the fabric carries meanwhile."""
    first, second = (design.hosts(lab.fabric, t) for t in design.TENANTS)
    same = [(first[1], far) for far in first[2:]]
    other = [(second[0], far) for far in second[1:]]
    before, began = _bytes(lab, first), time.monotonic()
    pings = [lab[a.name].popen(*PING, str(address(b)), stdout=subprocess.PIPE) for a, b in same + other]
    with ExitStack() as stack:
        for p in pings:
            stack.callback(p.communicate)
            stack.callback(p.kill)
        if storm:
            _storm(lab, first[0], pings)
        said = [p.communicate(timeout=30)[0].decode() for p in pings]
    mbit = 8e-6 / (time.monotonic() - began)
    offered, fabric, unasked = ((now - then) * mbit for now, then in zip(_bytes(lab, first), before, strict=True))
    return Load(offered, fabric, unasked, parse_pings(*said[: len(same)]), parse_pings(*said[len(same) :]))


def _storm(lab: Lab, host: Node, pings: list[subprocess.Popen[bytes]]) -> None:
    """Broadcast at the speed of the link until all pings have ended: what a loop behind the host would send."""
    a_second = LINK_MBIT * 1e6 / 8 / STORM_FRAME
    began, sent = time.monotonic(), 0
    with lab[host.name].socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind((host.ports[0].name, 0))
        while running := [p for p in pings if p.poll() is None]:
            while sent < (time.monotonic() - began) * a_second:
                with suppress(OSError):  # no room in the queue: the link is full
                    s.send(frames.broadcast(_mac(host), 1024 + sent % 60000, STORM_FRAME))
                sent += 1
            with suppress(subprocess.TimeoutExpired):
                running[0].wait(PACE)


def _slow_down(lab: Lab) -> None:
    """Give every port the same rate, and a queue of 40 ms."""
    rate = f"root tbf rate {LINK_MBIT}mbit burst 16kb limit {LINK_MBIT * 5000}"
    for node in lab.fabric:
        for port in node.ports:
            vrf = DEFAULT_VRF if node.is_host else port.vrf
            lab[node.name].run("tc", "qdisc", "add", "dev", port.name, *rate.split(), vrf=vrf)


def _between_switches(lab: Lab) -> list[tuple[Node, Port]]:
    return [(n, p) for n in lab.fabric.switches for p in n.ports if not lab.fabric[p.peer].is_host]


def _bytes(lab: Lab, tenant: list[Node]) -> tuple[int, int, float]:
    """Bytes that a tenant's first host sent to its leaf, that links between switches carry, and that its others got."""
    sent = {n.name: sent_bytes(lab[n.name]) for n in lab.fabric.switches}
    carried = sum(sent[n.name][p.name] for n, p in _between_switches(lab))
    others = [_counters(lab, h, h.ports[0])[1] for h in tenant[1:]]
    return _received(lab, tenant[0])[1], carried, sum(others) / len(others)


def _received(lab: Lab, host: Node) -> tuple[int, int]:
    """Packets and bytes that a host's leaf got from it."""
    return _counters(lab, *_leaf_port(lab, host))


def _counters(lab: Lab, node: Node, port: Port) -> tuple[int, int]:
    """Packets and bytes that a port got."""
    lines = lab[node.name].read("/proc/net/dev", vrf=DEFAULT_VRF if node.is_host else port.vrf).splitlines()
    words = next(line.partition(":")[2].split() for line in lines if line.strip().startswith(f"{port.name}:"))
    return int(words[1]), int(words[0])


def _leaf_port(lab: Lab, host: Node) -> tuple[Node, Port]:
    leaf = lab.fabric[host.ports[0].peer]
    return leaf, leaf.port(host.ports[0].peer_port)


def _mac(host: Node) -> bytes:
    return bytes.fromhex(host.ports[0].mac.replace(":", ""))


def _place(node: Node, port: Port) -> Place:
    return Place(node.name, port.name)
