"""What of a lab is proven anew after a change, since it may be another; pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from closet.plan import Fabric
from closet.records import Fan, Knock, about

OWN = frozenset({"daemons", "config", "links", "settings", "layer2", "vnis"})
"""Checks of what a node has of its own: only what is done to it can change that; the rest it hears from others."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The claims that a change could have made false.

    What a tenant is to another is settled on the leaves of both, so a tenant that neither changed nor shares a leaf
    with one that did is as it was.

    Attributes:
        touched: nodes that changed.
        vrfs: tenants that came or changed, in themselves or in whom they peer with.
        moved: switches, all of them, since routes of a tenant are on each; hosts that moved, and those of `vrfs`.
        beside: other hosts of leaves that changed.
    """

    touched: frozenset[str]
    vrfs: frozenset[str]
    moved: frozenset[str]
    beside: frozenset[str]

    def covers(self, check: str, key: object) -> bool:
        """Whether to look at a claim of a check: any that involves `moved`, and by packets all among `beside`.

        A door of a switch is a matter of that switch's filter: where that did not change, only who moved knocks.
        """
        if isinstance(key, str):
            return key in self.touched or (key in self.moved and check not in OWN)
        if isinstance(key, Fan):
            return key.vrf in self.vrfs
        nodes = about(key)
        if not self.moved.isdisjoint(nodes):
            return True
        return self.beside.issuperset(nodes) and not (isinstance(key, Knock) and key.switch not in self.touched)


def scope(old: Fabric, new: Fabric, touched: Collection[str]) -> Scope:
    """What a change from `old` to `new` that touched these nodes leaves to be proven."""
    vrfs = {name for name, tenant in new.tenants.items() if old.tenants.get(name) != tenant}
    vrfs |= {t for p in {*old.peerings} ^ {*new.peerings} for t in (p.one, p.other)} & new.tenants.keys()
    hosts = {h.name for h in new.hosts if h.name in touched or h.vrf in vrfs}
    beside = {h.name for h in new.hosts if {p.peer for p in h.ports} & {*touched}} - hosts
    return Scope(
        frozenset(touched), frozenset(vrfs), frozenset(hosts | {n.name for n in new.switches}), frozenset(beside)
    )
