"""What every judge says, word for word, of observations as they should be and of each way they can be wrong.

What FRR says is recorded from leaf1 of a quickstart (`recorded/`: FRR 10.3, every word as it came); the rest is
what the plan expects, with one thing changed.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from closet.check import CHECKS, NodeCheck, ProbeCheck
from closet.expect import (
    expected_fibs,
    expected_hops,
    expected_knocks,
    expected_sessions,
    expected_spread,
    expected_tables,
)
from closet.intent import loads
from closet.observe.frr import config_lines, parse_rib, parse_sessions
from closet.plan import Fabric, plan
from closet.records import Endpoint, Fan, Knock, Outcome, Port, Session

SUMMARY = "bgpd: show bgp ipv4 unicast summary json"
BFD = "bfdd: show bfd peers json"
RIB = "zebra: show ip route bgp json"

QUICKSTART = plan(loads("name: quickstart\nleaves: 2\n"))
WITH_TENANTS = plan(
    loads("name: t\nleaves: 2\nhosts: {per_leaf: 3}\ntenants: {red: {hosts: ['h?-1']}, blue: {hosts: ['h?-2']}}\n")
)


def said(name: str, *args) -> list[str]:
    return [str(f) for f in sorted(CHECKS[name].judge(*args))]


def said_of_leaf1(name: str, fabric: Fabric, observed) -> list[str]:
    return said(name, "leaf1", CHECKS[name].expect(fabric)["leaf1"], observed)


@pytest.fixture
def sessions(recorded):
    def of(name: str) -> tuple[Fabric, dict[str, Session]]:
        fabric, answers = recorded(name)
        return fabric, parse_sessions(answers[SUMMARY], answers.get(BFD), numbered=fabric.numbered)

    return of


@pytest.mark.parametrize("name", [n for n, c in CHECKS.items() if isinstance(c, NodeCheck)])
def test_what_is_expected_is_what_nothing_is_said_of(name):
    expected = CHECKS[name].expect(QUICKSTART)
    switches = {n.name for n in QUICKSTART.switches}
    where = {"evpn": switches, "vnis": set(), "verbs": set()}
    assert expected.keys() == where.get(name, QUICKSTART.nodes.keys())
    assert [f for node, want in expected.items() for f in CHECKS[name].judge(node, want, want)] == []
    assert all(CHECKS[name].count(want) > 0 for want in expected.values()) or name == "evpn"


AS_PLANNED = {
    "matrix": lambda expected: {probe: Outcome(min(may)) for probe, may in expected.items()},
    "reach": lambda expected: {pair: min(hops, default=None) for pair, hops in expected.items()},
    "spread": lambda expected: {fan: dict.fromkeys(fan.ports, fan.flows or 64 * len(fan.ports)) for fan in expected},
    "doors": dict,
}
"""What probes see where all is well, by what is expected of them."""


@pytest.mark.parametrize("name", [n for n, c in CHECKS.items() if isinstance(c, ProbeCheck)])
def test_nothing_is_said_of_probes_that_went_as_planned(name):
    expected = CHECKS[name].expect(WITH_TENANTS)
    assert CHECKS[name].count(expected) > 0
    assert said(name, expected, AS_PLANNED[name](expected)) == []


def test_daemons():
    running = {"mgmtd", "zebra", "bgpd"}
    assert said_of_leaf1("daemons", QUICKSTART, frozenset(running)) == []
    assert said_of_leaf1("daemons", QUICKSTART, frozenset({"zebra"})) == [
        "leaf1  daemon bgpd  expected running, observed not running",
        "leaf1  daemon mgmtd  expected running, observed not running",
    ]
    with_bfd = plan(loads("name: x\nleaves: 2\nbgp: {bfd: true}\n"))
    assert said_of_leaf1("daemons", with_bfd, frozenset(running)) == [
        "leaf1  daemon bfdd  expected running, observed not running"
    ]


def test_config(recorded):
    fabric, answers = recorded("clean")
    texts = [text for command, text in answers.items() if command.endswith("running-config")]
    lines = frozenset().union(*map(config_lines, texts))
    assert said_of_leaf1("config", fabric, lines) == []
    lost = "router bgp 4200001000 / neighbor HOSTS passive"
    assert said_of_leaf1("config", fabric, lines - {lost}) == [
        f"leaf1  running configuration  expected '{lost}', observed no such line"
    ]
    assert said_of_leaf1("config", fabric, lines | {"ip prefix-list OWN seq 15 permit any"}) == [
        "leaf1  running configuration  expected no such line, observed 'ip prefix-list OWN seq 15 permit any'"
    ]


@pytest.mark.parametrize("name", ["clean", "numbered"])
def test_sessions_as_planned(sessions, name):
    assert said_of_leaf1("sessions", *sessions(name)) == []


def test_a_session_that_is_down(sessions):
    assert said_of_leaf1("sessions", *sessions("link-down")) == [
        (
            "leaf1  BGP eth1  expected Established with spine1 AS 4200000100, BFD up, "
            "observed Idle with spine1 AS 4200000100, BFD down"
        )
    ]
    assert said_of_leaf1("sessions", *sessions("bgpd-dead")) == [
        "leaf1  BGP eth3  expected Established with h1-1 AS 4200100000, observed Active with h1-1 AS 4200100000"
    ]


def test_sessions_crosswise(sessions):
    """Two cables that changed places: both sessions are up, and each with the wrong host."""
    fabric, found = sessions("clean")
    found["eth3"], found["eth4"] = found["eth4"], found["eth3"]
    assert said_of_leaf1("sessions", fabric, found) == [
        (
            "leaf1  BGP eth3  expected Established with h1-1 AS 4200100000, BFD up, "
            "observed Established with h1-2 AS 4200100001, BFD up"
        ),
        (
            "leaf1  BGP eth4  expected Established with h1-2 AS 4200100001, BFD up, "
            "observed Established with h1-1 AS 4200100000, BFD up"
        ),
    ]


def test_a_session_too_many_one_too_few_and_one_without_bfd(sessions):
    fabric, found = sessions("clean")
    found["192.0.2.1"] = Session("", 65000, "Active", "down")
    found["eth2"] = replace(found["eth2"], bfd="down")
    del found["eth4"]
    assert said_of_leaf1("sessions", fabric, found) == [
        "leaf1  BGP 192.0.2.1  expected none, observed Active with nobody AS 65000, BFD down",
        (
            "leaf1  BGP eth2  expected Established with spine2 AS 4200000100, BFD up, "
            "observed Established with spine2 AS 4200000100, BFD down"
        ),
        "leaf1  BGP eth4  expected Established with h1-2 AS 4200100001, BFD up, observed none",
    ]


def test_the_rib_as_planned_and_without_a_link(recorded):
    fabric, answers = recorded("clean")
    assert said_of_leaf1("rib", fabric, {"default": parse_rib(answers[RIB])}) == []
    _, answers = recorded("link-down")
    assert said_of_leaf1("rib", fabric, {"default": parse_rib(answers[RIB])}) == [
        "leaf1  RIB 0.0.0.0/0  expected eth1 eth2, observed eth2",
        "leaf1  RIB 10.0.1.0/24  expected eth1 eth2, observed eth2",
        "leaf1  RIB 10.255.0.1/32  expected eth1, observed none",
        "leaf1  RIB 10.255.0.4/32  expected eth1 eth2, observed eth2",
    ]
    down = [link for link in fabric.links if (link.a, link.b) == ("spine1", "leaf1")]
    assert parse_rib(answers[RIB]) == expected_fibs(fabric, down)["leaf1"]


@pytest.mark.parametrize(("check", "word"), [("rib", "RIB"), ("fib", "FIB")])
def test_routes_that_are_wrong(check, word):
    routes = dict(expected_fibs(QUICKSTART)["leaf1"])
    block, far, stray = map(IPv4Network, ("10.0.0.0/24", "10.0.1.0/24", "10.0.9.0/24"))
    wrong = routes | {block: frozenset({"eth1"}), far: frozenset({"eth2"}), stray: frozenset()}
    del wrong[IPv4Network("10.0.0.1")]
    assert said_of_leaf1(check, QUICKSTART, {"default": wrong}) == [
        f"leaf1  {word} 10.0.0.0/24  expected blackhole, observed eth1",
        f"leaf1  {word} 10.0.0.1/32  expected eth3, observed none",
        f"leaf1  {word} 10.0.1.0/24  expected eth1 eth2, observed eth2",
        f"leaf1  {word} 10.0.9.0/24  expected none, observed blackhole",
    ]


def test_tables():
    assert said("tables", "h1-1", 3, 3) == said("tables", "h1-1", 3, 2) == []
    assert said("tables", "h1-1", 3, 4) == ["h1-1  BGP table  expected at most 3 prefixes, observed 4"]


def test_links():
    ports = CHECKS["links"].expect(QUICKSTART)["leaf1"]
    wrong = ports | {"eth1": replace(ports["eth1"], up=False), "br0": Port("02:00:00:00:00:01", 1500, up=True)}
    wrong["eth2"] = replace(ports["eth2"], mtu=1500)
    del wrong["eth4"]
    assert said("links", "leaf1", ports, wrong) == [
        "leaf1  port br0  expected none, observed 02:00:00:00:00:01 mtu 1500 up",
        "leaf1  port eth1  expected 02:c1:00:03:00:00 mtu 9216 up, observed 02:c1:00:03:00:00 mtu 9216 down",
        "leaf1  port eth2  expected 02:c1:00:03:00:01 mtu 9216 up, observed 02:c1:00:03:00:01 mtu 1500 up",
        "leaf1  port eth4  expected 02:c1:00:03:00:03 mtu 9216 up, observed none",
    ]


def test_settings():
    settings = CHECKS["settings"].expect(QUICKSTART)["h1-1"]
    forwards = settings["default"] | {"net.ipv4.ip_forward": 1}
    assert said("settings", "h1-1", settings, {"default": forwards}) == [
        "h1-1  net.ipv4.ip_forward  expected 0, observed 1"
    ]
    assert said("settings", "h1-1", settings, settings | {"red": forwards}) == [
        "h1-1  net.ipv4.ip_forward VRF red  expected 0, observed 1"
    ]


def test_layer2():
    found = frozenset({"bridge br0", "ARP 192.0.2.1 on eth3"})
    assert said_of_leaf1("layer2", QUICKSTART, found) == [
        "leaf1  layer 2  expected none, observed ARP 192.0.2.1 on eth3",
        "leaf1  layer 2  expected none, observed bridge br0",
    ]


@pytest.fixture
def answers():
    """Every pair of the quickstart, and the number of switches between them: as observed when all is well."""
    expected = expected_hops(QUICKSTART, expected_tables(QUICKSTART))
    return expected, {pair: min(hops) for pair, hops in expected.items()}


def vips(*names: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(n, QUICKSTART[n].loopback) for n in names)


def test_reach(answers):
    expected, found = answers
    assert said("reach", expected, found) == []
    near, far, nowhere = vips("h1-1", "h1-2"), vips("h1-1", "h2-1"), vips("h2-2", "h1-1")
    del found[nowhere]
    assert said("reach", expected, found | {near: 3, far: None}) == [
        "h1-1  reach h1-2 10.0.0.2  expected an answer over 1 switches, observed an answer over 3 switches",
        "h1-1  reach h2-1 10.0.1.1  expected an answer over 3 switches, observed no answer",
        "h2-2  reach h1-1 10.0.0.1  expected an answer over 3 switches, observed no answer",
    ]


def test_silence_counts_only_from_a_source_that_is_heard_elsewhere(answers):
    planned, found = answers
    denied = vips("h1-1", "h2-1")
    expected = {**planned, denied: frozenset()}
    assert said("reach", expected, found | {denied: None}) == []
    assert said("reach", expected, found | {denied: 3}) == [
        "h1-1  reach h2-1 10.0.1.1  expected no answer, observed an answer over 3 switches"
    ]
    others = {pair: hops for pair, hops in expected.items() if pair[0] != denied[0]}
    mute = {denied: None, **{pair: found[pair] for pair in others}}
    assert said("reach", others | {denied: frozenset()}, mute) == [
        "h1-1  reach h2-1 10.0.1.1  expected silence from a source that is heard elsewhere, observed no answer at all"
    ]


FAN = Fan("leaf1", ("eth1", "eth2"), 512)
SPINE = Fan("p1-spine1", ("eth1", "eth2", "eth3"))


@pytest.mark.parametrize(
    ("fan", "counts", "finding"),
    [
        (FAN, (256, 256), None),
        (FAN, (194, 318), None),
        (FAN, (193, 319), "expected 194 to 318 of 512 flows on each of 2 ports, observed eth1:193 eth2:319"),
        (FAN, (512, 0), "expected 194 to 318 of 512 flows on each of 2 ports, observed eth1:512 eth2:0"),
        (FAN, (0, 0), "expected 512 flows over 2 ports, observed 0: eth1:0 eth2:0"),
        (FAN, (250, 256), "expected 512 flows over 2 ports, observed 506: eth1:250 eth2:256"),
        (FAN, (251, 256), None),
        (SPINE, (100, 100, 100), None),
        (SPINE, (63, 64, 64), "expected 192 flows over 3 ports, observed 191: eth1:63 eth2:64 eth3:64"),
    ],
)
def test_spread(fan, counts, finding):
    expected = dict.fromkeys([fan], next(iter(expected_spread(QUICKSTART).values())))
    observed = {fan: dict(zip(fan.ports, counts, strict=True))}
    assert said("spread", expected, observed) == ([f"{fan.node}  ECMP  {finding}"] if finding else [])


@pytest.mark.parametrize("observed", ["open", "refused", "no ping"])
def test_doors(observed):
    expected = expected_knocks(QUICKSTART)
    assert set(expected.values()) == {"silent"}
    door = Knock("h1-1", "leaf1", str(IPv4Address("10.255.0.3")), "TCP", 179)
    assert said("doors", expected, expected | {door: observed}) == [
        f"leaf1  TCP 179 from h1-1 to 10.255.0.3  expected silent, observed {observed}"
    ]


def test_a_probe_that_observed_too_little_is_no_pass():
    """A judge that misses what it should have been given raises: what is not there is never called good."""
    for name, expected in (("doors", expected_knocks(QUICKSTART)), ("spread", expected_spread(QUICKSTART))):
        with pytest.raises(KeyError):
            said(name, expected, {})
    for node, want in expected_sessions(QUICKSTART).items():
        assert len(said("sessions", node, want, {})) == len(want) > 0
