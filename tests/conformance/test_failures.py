"""Links that fail and come back: the kernel forwards as the rest of the fabric allows, and later as wide as before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from closet.expect import expected_sessions, expected_tables
from closet.expect.sessions import neighbour_key
from closet.lab import Lab
from closet.observe import frr, kernel
from closet.plan import Link, Role
from closet.records import Finding

from . import changes

pytestmark = pytest.mark.usefixtures("settled")


def assert_routes(lab: Lab, down: tuple[Link, ...]) -> None:
    expected = expected_tables(lab.fabric, down)
    for name, node in lab.nodes.items():
        assert (name, kernel.tables(node, lab.fabric)) == (name, expected[name])
        assert (name, frr.ribs(node, lab.fabric)) == (name, expected[name])


def assert_gone(lab: Lab, link: Link, *, seen_by_bfd: bool) -> None:
    """Both ends have given the session up, as soon as they lost carrier; later, BFD has seen it too."""
    for node, port in ((link.a, link.a_port), (link.b, link.b_port)):
        session = frr.sessions(lab[node], lab.fabric)[neighbour_key(lab.fabric, node, port)]
        assert session.state != "Established"
        assert session.bfd != "up" or not seen_by_bfd


def assert_sessions(lab: Lab) -> None:
    expected = expected_sessions(lab.fabric)
    for name, node in lab.nodes.items():
        assert (name, frr.sessions(node, lab.fabric)) == (name, expected[name])


def first_link(lab: Lab, upper: Role, lower: Role) -> Link | None:
    nodes = lab.fabric.nodes
    return next((k for k in lab.fabric.links if nodes[k.a].role is upper and nodes[k.b].role is lower), None)


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("end", ["upper", "lower"])
@pytest.mark.parametrize(
    ("upper", "lower"), [(Role.LEAF, Role.HOST), (Role.SPINE, Role.LEAF), (Role.SUPERSPINE, Role.SPINE)]
)
def test_flap(lab: Lab, upper: Role, lower: Role, end: str, long: bool) -> None:
    """Down: RIB and kernel agree with what the plan says without the link. Up: both as wide as designed again.

    A short flap is over before BFD has noticed; a long one lasts until it has.
    """
    link = first_link(lab, upper, lower)
    if link is None:  # this fabric has no such tier; what it has is the other parameters' matter
        assert upper not in {n.role for n in lab.fabric}
        return
    for _ in range(2):
        with changes.link_down(lab, link, lower=end == "lower"):
            changes.eventually(lambda: assert_gone(lab, link, seen_by_bfd=long))
            if long:
                changes.eventually(lambda: assert_routes(lab, (link,)))
        changes.eventually(lambda: assert_sessions(lab))
        changes.eventually(lambda: assert_routes(lab, ()))


def test_a_nic_that_is_cut_off_is_told_by_name(lab: Lab, findings: Callable[..., list[Finding]]) -> None:
    """Its silence is a finding of every claim that it breaks; that it cannot even ask spoils no check."""
    link = first_link(lab, Role.LEAF, Role.HOST)
    assert link is not None
    cut_off = {link.b, f"{link.b}/{link.b_port}"}
    with changes.link_down(lab, link):
        changes.eventually(lambda: assert_gone(lab, link, seen_by_bfd=False))
        for check in ("reach", "matrix") if lab.fabric.tenants else ("reach",):
            assert cut_off & {f.device for f in findings(check)}, check
