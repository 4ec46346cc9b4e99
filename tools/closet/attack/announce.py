"""BGP announcements of what is not a host's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.attack.attacker import Attacker, attackers
from closet.attack.registry import attack
from closet.attack.source import spoofed
from closet.check import CHECKS
from closet.errors import ProbeError
from closet.expect.sessions import neighbour_key
from closet.observe.vty import ask_json, tell
from closet.plan import DEFAULT_VRF, Fabric, Node
from closet.records import Finding, about
from closet.runtime.node import LiveNode
from closet.signals import undoing
from closet.suite import run_one

STORM = 10_000
"""Prefixes of a route storm."""
BENCHMARK = IPv4Network("198.18.0.0/15")
"""Addresses for tests (RFC 2544): where a storm's prefixes are from."""
DEFAULT = IPv4Network("0.0.0.0/0")
FAMILY = "address-family ipv4 unicast"
HEARD = 30.0
"""Seconds in which the leaf must have got all of it."""
MOST = 20
"""Findings of a check that are told one by one."""
WITNESSES = ("sessions", "rib", "fib", "tables", "reach")
"""The checks that would see it if it came to anything."""
CLOSED = "Maximum Number of Prefixes Reached"
"""The reason of the end of a session that carried too much (RFC 4486)."""


@dataclass(frozen=True, slots=True, eq=False)
class Announcement:
    """Prefixes that a host announces, without any policy of its own.

    Attributes:
        prefixes: as one writes them: there are tens of thousands, and networks take several times as long.
    """

    what: str
    attacker: Attacker
    prefixes: tuple[str, ...]


def announce(
    fabric: Fabric, nodes: Mapping[str, LiveNode], tries: Collection[Announcement]
) -> dict[Announcement, list[str]]:
    """Make all announcements at once; each → the findings of others while they last that are about its prefixes.

    What is about no prefix is every one's doing.

    Raises:
        ProbeError: a leaf did not hear all of it, so nothing is proven; or a check could not look.
    """
    hosts = [t.attacker for t in tries]
    own = {a.host.name for a in hosts}
    found: list[str] = []
    heard = {t: _heard(fabric, nodes, t.attacker) for t in tries}
    lost = {a.leaf.name: _lost(fabric, nodes, a.leaf) for a in hosts}
    with _announcing(fabric, nodes, tries):
        for t in tries:
            _wait_until_heard(fabric, nodes, t, heard[t])
        for name in WITNESSES:
            result = run_one(fabric, nodes, CHECKS[name], lambda _, key: own.isdisjoint(about(key)))
            if result.error:
                raise ProbeError(f"{name}: {result.error}")
            its = [f for f in result.findings if not any(concerns(f, a) for a in hosts)]
            found += [f"{name}: {f}" for f in its[:MOST]]
            found += [f"{name}: and {len(its) - MOST} more"] if len(its) > MOST else []
        ends = {(a.leaf.name, neighbour_key(fabric, a.leaf.name, a.door.name)) for a in hosts}
        for leaf, before in lost.items():
            for neighbour, count in _lost(fabric, nodes, fabric[leaf]).items():
                if count != before.get(neighbour, count) and (leaf, neighbour) not in ends:
                    found.append(f"{leaf}: BGP {neighbour}: lost {count - before[neighbour]} times")
    return attribute(tries, found)


def attribute(tries: Collection[Announcement], found: Iterable[str]) -> dict[Announcement, list[str]]:
    """Each announcement → the findings that name one of its prefixes, and those that name nobody's."""
    said = {finding: finding.split() for finding in found}
    words = {word for its in said.values() for word in its if "/" in word}
    whose: dict[str, list[Announcement]] = {}
    for t in tries if words else ():  # there are tens of thousands of prefixes
        for name in words.intersection(t.prefixes):
            whose.setdefault(name, []).append(t)
    its: dict[Announcement, list[str]] = {t: [] for t in tries}
    for finding, its_words in said.items():
        named = [t for word in its_words for t in whose.get(word, ())]
        for t in dict.fromkeys(named or tries):
            its[t].append(finding)
    return its


def concerns(finding: Finding, a: Attacker) -> bool:
    """Whether a finding is about the attacker itself, or its session: it may well cut itself off."""
    words = {word.removesuffix("/32") for word in finding.subject.split()}
    if finding.device == a.leaf.name and neighbour_key(a.fabric, a.leaf.name, a.door.name) in words:
        return True
    return finding.device.split("/")[0] == a.host.name or not words.isdisjoint(_addresses(a))


@lru_cache(64)  # of tens of thousands of findings each is asked
def _addresses(a: Attacker) -> frozenset[str]:
    return frozenset(map(str, a.host.addresses))


@contextmanager
def _announcing(fabric: Fabric, nodes: Mapping[str, LiveNode], tries: Collection[Announcement]) -> Iterator[None]:
    """The hosts drop their own policy and announce the prefixes over every link, whether or not they have a route."""
    with undoing() as undo:
        undo.callback(_each_tells, nodes, {t: _honest(fabric, t) for t in tries})
        _each_tells(nodes, {t: _rogue(fabric, t) for t in tries})
        yield


def _each_tells(nodes: Mapping[str, LiveNode], lines: Mapping[Announcement, list[str]]) -> None:
    """All hosts hear their lines at the same time."""
    with ThreadPoolExecutor(len(lines) or 1) as pool:
        its = [pool.submit(tell, nodes[t.attacker.host.name], "bgpd", said) for t, said in lines.items()]
    for each in its:
        each.result()


def _rogue(fabric: Fabric, this: Announcement) -> list[str]:
    return [
        *("configure terminal", f"router bgp {this.attacker.host.asn}"),
        *("no bgp ebgp-requires-policy", "no bgp network import-check", FAMILY),
        *(f"no neighbor {n} route-map {m} out" for n, m in _policies(fabric, this).items()),
        *_origin(fabric, this),
    ]


def _honest(fabric: Fabric, this: Announcement) -> list[str]:
    """The same taken back. `import-check` comes last: it would look up every prefix that is still there."""
    return [
        *("configure terminal", f"router bgp {this.attacker.host.asn}", "bgp ebgp-requires-policy", FAMILY),
        *(f"neighbor {n} route-map {m} out" for n, m in _policies(fabric, this).items()),
        *(f"no {line}" for line in _origin(fabric, this)),
        *("exit-address-family", "bgp network import-check"),
    ]


def _policies(fabric: Fabric, this: Announcement) -> dict[str, str]:
    """Neighbour → the route map for what the host says to it."""
    node = this.attacker.host
    return {neighbour_key(fabric, node.name, p.name): f"TO-{p.name}" for p in node.ports}


def _origin(fabric: Fabric, this: Announcement) -> list[str]:
    everything = str(DEFAULT)
    default = [f"neighbor {n} default-originate" for n in _policies(fabric, this)]
    rest = [f"network {p}" for p in this.prefixes if p != everything]
    return [*default, *rest] if everything in this.prefixes else rest


def _wait_until_heard(fabric: Fabric, nodes: Mapping[str, LiveNode], this: Announcement, before: int) -> None:
    enough = before + len(this.prefixes)
    again = retry_if_result(lambda heard: heard < enough)
    try:
        Retrying(stop=stop_after_delay(HEARD), wait=wait_fixed(0.1), retry=again)(_heard, fabric, nodes, this.attacker)
    except RetryError as e:
        got = e.last_attempt.result() - before
        raise ProbeError(
            f"{this.what}: {this.attacker.leaf.name} heard {got} of {len(this.prefixes)} prefixes in {HEARD:g} s, "
            "so nothing is proven"
        ) from None


def _heard(fabric: Fabric, nodes: Mapping[str, LiveNode], a: Attacker) -> int:
    """How many prefixes a leaf has got from the attacker, taken or not; of a session closed for too many, endless."""
    name = neighbour_key(fabric, a.leaf.name, a.door.name)
    peer = _neighbours(nodes[a.leaf.name], a.vrf)[name]
    if CLOSED in str(peer.get("lastNotificationReason", "")) and peer["bgpState"] != "Established":
        return 1 << 31
    taken = peer.get("addressFamilyInfo", {}).get("ipv4Unicast", {}).get("acceptedPrefixCounter", 0)
    return int(peer["prefixStats"]["inboundFiltered"]) + int(taken)


def _lost(fabric: Fabric, nodes: Mapping[str, LiveNode], leaf: Node) -> dict[str, int]:
    """How often each session of a leaf was lost."""
    found: dict[str, int] = {}
    for vrf in (DEFAULT_VRF, *(t.name for t in fabric.vrfs(leaf))):
        found |= {n: int(p["connectionsDropped"]) for n, p in _neighbours(nodes[leaf.name], vrf).items()}
    return found


def _neighbours(leaf: LiveNode, vrf: str) -> dict[str, Any]:
    where = "" if vrf == DEFAULT_VRF else f"vrf {vrf} "
    answer = ask_json(leaf, "bgpd", f"show bgp {where}neighbors json")
    return {name: peer for name, peer in answer.items() if isinstance(peer, dict) and "bgpState" in peer}


def _each(fabric: Fabric, what: str, prefixes: Mapping[str, Iterable[IPv4Network]]) -> Iterator[Announcement]:
    for a in attackers(fabric):
        its = tuple(map(str, prefixes[a.vrf]))
        yield Announcement(f"{a}: announces {what}: {', '.join(its[:4])}", a, its)


@attack(
    "who announces another's addresses harms nobody",
    protection="a prefix list for every host: its /32s only; RFC 8212",
    make=announce,
)
def hijack(fabric: Fabric) -> Iterator[Announcement]:
    """Other tenants' hosts, one's own tenant's, a VTEP, nobody's."""
    its = {a.vrf: dict.fromkeys(IPv4Network(address) for _, address in spoofed(a)) for a in attackers(fabric)}
    yield from _each(fabric, "others' addresses", its)


@attack(
    "who announces a default route, or more specific prefixes than anybody, draws no traffic",
    protection="a prefix list for every host: its /32s only; RFC 8212",
    make=announce,
)
def attract(fabric: Fabric) -> Iterator[Announcement]:
    """The default, its halves, and halves of every prefix of the plan: blocks, tenants, VTEPs."""
    nets = [DEFAULT, *DEFAULT.subnets()]
    for net in (
        fabric.pools.loopbacks,
        *(n.block for n in fabric if n.block is not None),
        *(s.prefix for t in fabric.tenants.values() for s in t.subnets if s.prefix is not None),
    ):
        nets += net.subnets() if net.prefixlen < 32 else []
    yield from _each(fabric, "a default and more specifics", {a.vrf: dict.fromkeys(nets) for a in attackers(fabric)})


@attack(
    f"a storm of {STORM} routes from one host of each VRF fills no table, and ends no session but at most its own",
    protection="a prefix list for every host; behind it, maximum-prefix",
    make=announce,
)
def flood(fabric: Fabric) -> Iterator[Announcement]:
    """/32s that are nobody's, from one host of each VRF."""
    for n, a in enumerate(attackers(fabric)):
        # Each its own, so that it shows whose were taken.
        first = BENCHMARK.network_address + n * STORM % (BENCHMARK.num_addresses - STORM)
        yield Announcement(f"{a}: announces {STORM} routes", a, tuple(f"{first + i}/32" for i in range(STORM)))
