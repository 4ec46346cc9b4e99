"""Attacks from hosts fail, and each would be seen to succeed on a fabric without what makes it fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from closet.attack import ATTACKS
from closet.attack.attacker import attackers
from closet.lab import Lab
from closet.suite import Result, run_one

from . import changes, mutations

Mutation = Callable[[Lab], AbstractContextManager[None]]

NEED_TENANTS = {mutations.vtep_in_vrf, mutations.ttl_made_new, mutations.vxlan_from_anybody, mutations.vrf_leaks}

MUTATIONS: list[tuple[str, Mutation]] = [
    ("source", mutations.no_source_filter),
    ("source", mutations.no_source_filter_in_underlay),
    ("ipv6", mutations.ipv6_forwarded),
    ("hijack", mutations.no_prefix_lists),
    ("attract", mutations.no_prefix_lists),
    ("flood", mutations.no_prefix_lists),
    ("local_doors", mutations.no_door_filter),
    ("local_doors", mutations.no_source_filter),
    ("addresses", mutations.no_door_filter_in_underlay),
    ("addresses", mutations.vtep_in_vrf),
    ("fragments", mutations.fragments_pass),
    ("fragmented_doors", mutations.fragments_pass_the_door),
    ("advert", mutations.adverts_believed),
    ("arp", mutations.arp_believed),
    ("arp", mutations.no_source_filter),
    ("redirect", mutations.redirects_believed),
    ("storm", mutations.bridged),
    ("ttl", mutations.vtep_in_vrf),
    ("ttl", mutations.ttl_made_new),
    ("vxlan", mutations.vxlan_from_anybody),
    ("vxlan", mutations.no_source_filter_in_underlay),
    ("vxlan", mutations.vrf_leaks),
]
"""An attack, and a fabric on which it succeeds."""

ANNOUNCEMENTS = {"hijack", "attract", "flood"}
"""Attacks that are made by BGP."""

SECOND_FENCES: list[tuple[str, Mutation]] = [
    ("ipv6", mutations.ipv6_route_left_behind),
    ("flood", partial(mutations.no_prefix_lists, bounded=True)),
]
"""An attack, and a fabric that has lost one of its protections and still has another."""


APPLIES_TO_UNDERLAY = {
    mutations.no_source_filter_in_underlay,
    mutations.no_door_filter_in_underlay,
    mutations.redirects_believed,
}


@dataclass(frozen=True)
class Range:
    """A lab that is attacked. What an attack sends is worked out once: that takes longer than sending it."""

    lab: Lab
    attempts: dict[str, Mapping[Any, str]] = field(default_factory=dict)

    def tries(self, name: str) -> Mapping[Any, str]:
        if name not in self.attempts:
            self.attempts[name] = ATTACKS[name].check.expect(self.lab.fabric)
        return self.attempts[name]

    def run(self, name: str, by: str = "") -> Result:
        """An attack by all who can make it, or by one host."""
        its = {t: want for t, want in self.tries(name).items() if not by or t.attacker.host.name == by}
        return run_one(self.lab.fabric, self.lab.nodes, replace(ATTACKS[name].check, expect=lambda _: its))

    def make(self, name: str, by: str = "") -> Result:
        result = self.run(name, by)
        assert not result.error
        assert result.claims or not by
        return result

    def assert_fails(self, name: str, by: str = "") -> None:
        assert [str(f) for f in self.make(name, by).findings] == []

    def applies(self, name: str, mutation: Mutation) -> bool:
        """Whether a fabric has what is attacked, and what a mutation takes away."""
        everybody = attackers(self.lab.fabric)
        if mutation in NEED_TENANTS and not everybody[0].in_tenant:
            return False
        if mutation in APPLIES_TO_UNDERLAY and all(a.in_tenant for a in everybody):
            return False
        return bool(self.tries(name))


@pytest.fixture(scope="session")
def range_(lab: Lab) -> Range:
    return Range(lab)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack_fails(range_: Range, name: str) -> None:
    range_.assert_fails(name)


def test_every_attack_has_a_mutation() -> None:
    assert {name for name, _ in MUTATIONS} == set(ATTACKS)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("name", "mutation"), MUTATIONS, ids=lambda x: getattr(x, "__name__", x))
def test_attack_succeeds_without_protection(lab: Lab, range_: Range, name: str, mutation: Mutation) -> None:
    if not range_.applies(name, mutation):  # then there is nothing to succeed at
        assert not lab.fabric.tenants or lab.fabric.host_routes != "default"
        return
    with mutation(lab):
        assert range_.make(name, by=who_floods(lab, name)).findings
    if name not in ANNOUNCEMENTS:  # of those, the checks say whether all is as it was
        range_.assert_fails(name)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("name", "mutation"), SECOND_FENCES)
def test_attack_fails_at_the_second_fence(lab: Lab, range_: Range, name: str, mutation: Mutation) -> None:
    with mutation(lab):
        range_.assert_fails(name, by=who_floods(lab, name))


def who_floods(lab: Lab, name: str) -> str:
    """Of a flood, the host whose leaf lost its protection: the others would only take seconds to say as much again."""
    return mutations.one(lab).host.name if name == "flood" else ""


@pytest.mark.usefixtures("settled")
def test_an_attack_that_did_not_leave_its_host_proves_nothing(lab: Lab, range_: Range) -> None:
    a = mutations.one(lab)
    cable = next(k for k in lab.fabric.links if (k.b, k.b_port) == (a.host.name, a.port.name))
    with changes.link_down(lab, cable, lower=True):
        result = range_.run("ipv6")
    assert a.door.name in result.error or a.port.name in result.error
    assert not result.passed


def test_an_attack_whose_twin_does_not_arrive_proves_nothing(lab: Lab, range_: Range) -> None:
    a = mutations.one(lab)
    with mutations.nobody_heard(lab, a):
        result = range_.run("source")
    assert "nothing is proven" in result.error
    assert not result.passed
