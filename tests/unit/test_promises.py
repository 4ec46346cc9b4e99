"""What is rendered does what is expected: every frr.conf, played by a small BGP speaker, gives the planned routes.

`expect` never reads what `render` wrote, and this speaker never reads the plan: where both come to the same
tables, with links up and down, the filters, summaries and AS numbers in the files are those of the design.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, infer, settings
from hypothesis import strategies as st

from closet.expect import expected_fibs, expected_settings
from closet.intent import Intent, load, loads
from closet.intent.wiring import Wiring
from closet.plan import Fabric, plan
from closet.render import render

DEFAULT = IPv4Network("0.0.0.0/0")
Best = dict[IPv4Network, tuple[int, set[str], tuple[int, ...]]]
"""Prefix → path length, the neighbours with a path that short, and the path that is told on."""


@dataclass
class Speaker:
    """As much of RFC 4271 as the fabric uses; `heard` holds, by neighbour, the AS paths that passed the filter."""

    conf: str
    heard: dict[str, dict[IPv4Network, tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self):
        self.conf = re.sub(r" address-family l2vpn evpn\n(?:  .+\n)* exit-address-family\n", "", self.conf)
        (self.asn,) = (int(asn) for asn in self._all(r"router bgp (\d+)"))
        self.networks = {IPv4Network(n) for n in self._all(r"network (\S+)")}
        self.summary = next((IPv4Network(n) for n in self._all(r"aggregate-address (\S+) summary-only")), None)
        self.groups = dict(self._all(r"neighbor (\S+) (?:interface )?peer-group (\S+)"))
        self.filters = {(who, way): name for who, name, way in self._all(r"neighbor (\S+) route-map (\S+) (in|out)")}
        self.override = set(self._all(r"neighbor (\S+) as-override"))
        self.originate = set(self._all(r"neighbor (\S+) default-originate"))
        self.permits: dict[str, list[tuple[IPv4Network, int, int]]] = {}
        lists = self._all(r"ip prefix-list (\S+) seq \d+ permit (\S+?)(?: ge (\d+))?(?: le (\d+))?")
        for name, net, ge, le in lists:
            length = IPv4Network(net).prefixlen
            longest = int(le) if le else 32 if ge else length
            self.permits.setdefault(name, []).append((IPv4Network(net), int(ge or length), longest))
        self.paths = dict(self._all(r"bgp as-path access-list (\S+) seq 5 permit (\S+)"))
        self.maps: dict[str, dict[str, str]] = {}
        for name, matches in self._all(r"route-map (\S+) permit 10\n((?: .+\n)*)exit"):
            self.maps[name] = dict(re.findall(r"match (as-path|ip address prefix-list) (\S+)", matches))
        self._passed: dict[tuple[str, str, IPv4Network], bool] = {}

    def _all(self, pattern: str) -> list:
        return re.findall(rf"^ *{pattern}$", self.conf, re.MULTILINE)

    def passes(self, neighbour: str, way: str, prefix: IPv4Network, path: tuple[int, ...]) -> bool:
        """Whether the filter towards or from a neighbour permits a route; no filter permits nothing (RFC 8212)."""
        key = (neighbour, way, prefix)
        name = self.filters.get((neighbour, way)) or self.filters.get((self.groups[neighbour], way), "")
        wants = self.maps.get(name, {})
        if key not in self._passed:
            self._passed[key] = any(
                low <= prefix.prefixlen <= high and prefix.subnet_of(net)
                for net, low, high in self.permits.get(wants.get("ip address prefix-list", ""), [])
            )
        if "as-path" in wants and not re.search(self.paths[wants["as-path"]], " ".join(map(str, path))):
            return False
        return self._passed[key]

    def hear(self, neighbour: str, told: dict[IPv4Network, tuple[int, ...]]) -> bool:
        """Take an announcement; returns whether it changed anything."""
        kept = {p: path for p, path in told.items() if self.asn not in path and self.passes(neighbour, "in", p, path)}
        changed = kept != self.heard.get(neighbour, {})
        self.heard[neighbour] = kept
        return changed

    def best(self) -> Best:
        """What is chosen of all that was heard, and what is its own."""
        found: Best = {p: (0, set(), ()) for p in self.networks}
        for neighbour, prefixes in self.heard.items():
            for prefix, path in prefixes.items():
                length, neighbours, first = found.get(prefix, (1 << 16, set(), ()))
                if len(path) < length:
                    found[prefix] = (len(path), {neighbour}, path)
                elif len(path) == length and prefix not in self.networks:
                    found[prefix] = (length, neighbours | {neighbour}, first)
        if self.summary and any(p != self.summary and p.subnet_of(self.summary) for p in found):
            found[self.summary] = (0, set(), ())
        return found

    def tell(self, neighbour: str, asn: int, best: Best) -> dict[IPv4Network, tuple[int, ...]]:
        """What is announced of the best paths to a neighbour of that AS number."""
        group = self.groups[neighbour]
        told = {}
        for prefix, (_, _, path) in best.items():
            suppressed = self.summary and prefix != self.summary and prefix.subnet_of(self.summary)
            if not suppressed and self.passes(neighbour, "out", prefix, path):
                hidden = tuple(self.asn if hop == asn else hop for hop in path) if group in self.override else path
                told[prefix] = (self.asn, *hidden)
        return told | ({DEFAULT: (self.asn,)} if group in self.originate else {})

    def fib(self) -> dict[IPv4Network, set[str]]:
        """What goes to the kernel: all but what is its own."""
        return {p: neighbours for p, (_, neighbours, _) in self.best().items() if p not in self.networks}


def played(fabric: Fabric, down) -> dict[str, dict[IPv4Network, frozenset[str]]]:
    """The routes of every node when nothing changes any more."""
    speakers = {node.name: Speaker(files["frr.conf"]) for node, files in render(fabric)}
    called: dict[tuple[str, str], str] = {}  # (node, port) → what BGP calls the neighbour there
    cables: dict[str, list[tuple[str, str, str]]] = {name: [] for name in speakers}
    for link in fabric.links:
        a, b = (link.a, link.a_port), (link.b, link.b_port)
        for here, port, there, peer_port in ((*a, *b), (*b, *a)):
            far = fabric[there].port(peer_port).address
            called[here, port] = str(far.ip) if far else port
            if link not in down:
                cables[here].append((port, there, peer_port))
    restless = list(speakers)
    while restless:
        name = restless.pop(0)
        best = speakers[name].best()
        for port, there, peer_port in cables[name]:
            told = speakers[name].tell(called[name, port], speakers[there].asn, best)
            if speakers[there].hear(called[there, peer_port], told) and there not in restless:
                restless.append(there)
    port_of = {(node, neighbour): port for (node, port), neighbour in called.items()}
    return {
        name: {prefix: frozenset(port_of[name, n] for n in heard) for prefix, heard in speaker.fib().items()}
        for name, speaker in speakers.items()
    }


@settings(max_examples=20)
@given(fabric=infer, data=st.data())
def test_what_is_rendered_gives_the_expected_routes(fabric: Fabric, data):
    down = data.draw(st.lists(st.sampled_from(fabric.links), max_size=3))
    assert played(fabric, down) == expected_fibs(fabric, down)


@settings(max_examples=20)
@given(wiring=infer, data=st.data())
def test_what_is_rendered_of_named_cables_gives_the_expected_routes(wiring: Wiring, data):
    shared = data.draw(st.sampled_from([["spines"], [], ["spines", "hosts"]]))
    routes = data.draw(st.sampled_from(["default", "aggregates"] if wiring.spines else ["aggregates"]))
    words = {"name": "any", "wiring": wiring, "bgp": {"asns": {"shared": shared}}, "hosts": {"routes": routes}}
    fabric = plan(Intent.model_validate(words))
    down = data.draw(st.lists(st.sampled_from(fabric.links), max_size=3))
    assert played(fabric, down) == expected_fibs(fabric, down)


@pytest.mark.parametrize("name", ["quickstart", "p2p-31", "rail-optimised", "rails-only", "three-tier"])
def test_a_shipped_fabric_does_what_is_expected(name):
    fabric = plan(load(Path(__file__).parents[2] / "topologies" / f"{name}.yaml"))
    assert played(fabric, []) == expected_fibs(fabric)


def test_a_leaf_is_no_way_between_spines():
    """Even where spines have AS numbers of their own, and so would take their pod's routes back from a leaf."""
    fabric = plan(loads("name: x\nleaves: 2\nhosts: {per_pair: 1}\nbgp: {asns: {shared: [hosts]}}\n"))
    down = [link for link in fabric.links if (link.a, link.b) in {("spine1", "leaf1"), ("leaf2", "h1-1")}]
    routes = played(fabric, down)
    vip = IPv4Network(fabric["h1-1"].loopback)
    assert (vip in routes["spine1"], vip in routes["spine2"], vip in routes["leaf2"]) == (False, True, True)
    assert routes == expected_fibs(fabric, down)


@given(fabric=infer)
def test_kernels_are_told_what_is_expected_of_them(fabric: Fabric):
    """Stated twice: as what the design needs, and as the file a node gets."""
    expected = expected_settings(fabric)
    for node, files in render(fabric):
        told = {name: int(value) for name, value in re.findall(r"(\S+) = (\d+)", files["sysctl.conf"])}
        assert told == expected[node.name]["default"]
