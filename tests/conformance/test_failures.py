"""Links that fail and come back: the kernel forwards as the rest of the fabric allows, and later as wide as before."""

from __future__ import annotations

import pytest

from closet.expect import expected_fibs
from closet.lab import Lab
from closet.observe import frr, kernel
from closet.plan import Link, Role

from . import changes

pytestmark = pytest.mark.usefixtures("settled")


def assert_routes(lab: Lab, down: tuple[Link, ...]) -> None:
    expected = expected_fibs(lab.fabric, down)
    for name, node in lab.nodes.items():
        assert (name, kernel.fib(node, lab.fabric)) == (name, expected[name])
        assert (name, frr.rib(node, lab.fabric)) == (name, expected[name])


def first_link(lab: Lab, upper: Role, lower: Role) -> Link | None:
    nodes = lab.fabric.nodes
    return next((k for k in lab.fabric.links if nodes[k.a].role is upper and nodes[k.b].role is lower), None)


@pytest.mark.parametrize(
    ("upper", "lower"), [(Role.LEAF, Role.HOST), (Role.SPINE, Role.LEAF), (Role.SUPERSPINE, Role.SPINE)]
)
def test_flap(lab: Lab, upper: Role, lower: Role) -> None:
    """Down: RIB and kernel agree with what the plan says without the link. Up: both as wide as designed again."""
    link = first_link(lab, upper, lower)
    if link is None:  # this fabric has no such tier; what it has is the other parameters' matter
        assert upper not in {n.role for n in lab.fabric}
        return
    for _ in range(2):
        with changes.link_down(lab, link):
            changes.eventually(lambda: assert_routes(lab, (link,)))
        changes.eventually(lambda: assert_routes(lab, ()))
