"""The shape of a fabric whose every node and cable is named."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.intent.wiring import Wiring
from closet.plan.fabric import TIER, Role
from closet.plan.shape import Shape

RESERVED = ("lo", "all", "default")
"""Names no port can have: the kernel's, and those of its settings for all interfaces."""


def lay(intent: Intent, wiring: Wiring) -> Shape:
    """Lay out the nodes and cables of a `wiring`.

    Raises:
        IntentError: a name or port is given twice, an end is nobody's, a cable joins what does not go together,
            or a node has no cable.
    """
    return _Layer(intent, wiring).shape()


class _Layer:
    def __init__(self, intent: Intent, wiring: Wiring) -> None:
        self._intent = intent
        self._tiers: list[tuple[Role, str, tuple[str, ...]]] = [
            (Role.SUPERSPINE, "superspines", wiring.superspines),
            (Role.SPINE, "spines", wiring.spines),
            (Role.LEAF, "leaves", wiring.leaves),
            (Role.HOST, "hosts", wiring.hosts),
        ]
        self._role: dict[str, Role] = {}
        for role, word, names in self._tiers:
            for i, name in enumerate(names):
                if name in self._role:
                    raise self._wrong(f"{word}[{i}]", f"{name!r} is there already, allowed: a name no other node has")
                self._role[name] = role
        self._place = {name: i for i, name in enumerate(self._role)}
        self._links = [self._link(i, ends) for i, ends in enumerate(wiring.links)]
        self._check_ports()
        self._check_everyone_is_joined()
        self._check_leaves_meet()

    def shape(self) -> Shape:
        """The shape, with pods and groups as the cables make them."""
        pairs = [(a, b) for (a, _), (b, _) in self._links]
        to_hosts = [p for p in pairs if self._role[p[1]] is Role.HOST]
        ends = [n for n, role in self._role.items() if role in (Role.LEAF, Role.HOST)]
        group_of = _components(ends, to_hosts)
        pod_of = self._pods(pairs)
        pod_of |= {host: pod_of[leaf] for leaf, host in reversed(to_hosts)}
        shape = Shape()
        at = {
            n: shape.add(n, role, pod_of.get(n, 0), group_of.get(n, 0)) for role, _, names in self._tiers for n in names
        }
        shape.cables = [(at[a], at[b]) for a, b in pairs]
        given = {(c, end): port for c, ends in enumerate(self._links) for end, (_, port) in enumerate(ends) if port}
        shape.order_ports(self._intent, given)
        return shape

    def _pods(self, pairs: list[tuple[str, str]]) -> dict[str, int]:
        """The pod of every spine and leaf: what superspines join; without them all is one pod, joined or not."""
        switches = {n: role for n, role in self._role.items() if role in (Role.SPINE, Role.LEAF)}
        if Role.SUPERSPINE not in self._role.values():
            return dict.fromkeys(switches, 1)
        return _components(switches, [(a, b) for a, b in pairs if a in switches and b in switches])

    def _link(self, i: int, ends: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
        """A cable as ((upper node, its port), (lower node, its port)); "" where no port is given."""
        (a, _, a_port), (b, _, b_port) = (end.partition(":") for end in ends)
        for end, name, port in ((ends[0], a, a_port), (ends[1], b, b_port)):
            if name not in self._role:
                raise self._wrong(f"links[{i}]", f"{end}: no node {name!r}, allowed: a name of wiring")
            if port in RESERVED:
                raise self._wrong(f"links[{i}]", f"{end}: no port can be called {port!r}, allowed: another name")
        if (TIER[self._role[a]], -self._place[a]) < (TIER[self._role[b]], -self._place[b]):
            a, a_port, b, b_port = b, b_port, a, a_port
        mesh = a != b and self._role[a] is self._role[b] is Role.LEAF
        if TIER[self._role[a]] - TIER[self._role[b]] != 1 and not mesh:
            raise self._wrong(
                f"links[{i}]",
                f"{a} is a {self._role[a]} and {b} a {self._role[b]}, "
                f"allowed: superspine to spine, spine to leaf, leaf to host, leaf to another leaf",
            )
        return (a, a_port), (b, b_port)

    def _check_ports(self) -> None:
        used: dict[tuple[str, str], int] = {}
        for i, ends in enumerate(self._links):
            for name, port in ends:
                if port and used.setdefault((name, port), i) != i:
                    first = used[name, port]
                    raise self._wrong(
                        f"links[{i}]", f"{name}:{port} is in links[{first}] already, allowed: one cable a port"
                    )

    def _check_everyone_is_joined(self) -> None:
        """No node without a cable, and none that only hangs on what is below or beside it."""
        lowers = {b for (a, _), (b, _) in self._links if self._role[a] is not self._role[b]}
        uppers = {a for (a, _), _ in self._links}
        joined = uppers | {b for _, (b, _) in self._links}
        top = next(role for role, _, names in self._tiers if names)
        for name, role in self._role.items():
            if role is not top and name not in lowers:
                above = next(r for r in Role if TIER[r] == TIER[role] + 1)
                raise self._wrong("links", f"{name} is on no {above}, allowed: one cable or more")
            if role is not Role.HOST and role is not Role.LEAF and name not in uppers:
                raise self._wrong("links", f"{name} joins nothing, allowed: one cable or more downwards")
            if name not in joined:
                raise self._wrong("links", f"{name} joins nothing, allowed: one cable or more")

    def _check_leaves_meet(self) -> None:
        """Every two leaves are joined or have something above them in common, since no leaf is transit for others.

        Only rails, with neither spines nor cables between leaves, are apart by design.
        """
        above: dict[str, set[str]] = {n: set() for n in self._role}
        beside: dict[str, set[str]] = {n: {n} for n in self._role}
        for (a, _), (b, _) in sorted(self._links, key=lambda ends: -TIER[self._role[ends[0][0]]]):
            if self._role[a] is self._role[b]:
                beside[a].add(b)
                beside[b].add(a)
            else:
                above[b] |= {a} | above[a]
        leaves = [n for n, role in self._role.items() if role is Role.LEAF]
        mesh = any(len(beside[leaf]) > 1 for leaf in leaves)
        alike = {(frozenset(above[n]), n if mesh else ""): n for n in reversed(leaves) if mesh or above[n]}
        for ((one, _), a), ((other, _), b) in combinations(alike.items(), 2):
            if not one & other and a not in beside[b]:
                first, second = sorted((a, b), key=leaves.index)
                raise self._wrong(
                    "links",
                    f"{first} and {second} are not joined and meet at no switch above them, allowed: one of both",
                )

    def _wrong(self, place: str, what: str) -> IntentError:
        return IntentError(f"{self._intent.name}: wiring.{place}: {what}")


def _components(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Name → number, from 1, of those it is joined to, in the order of the names."""
    above = {n: n for n in names}

    def find(n: str) -> str:
        while above[n] != n:
            above[n] = n = above[above[n]]
        return n

    for a, b in pairs:
        above[find(b)] = find(a)
    numbers: dict[str, int] = {}
    return {n: numbers.setdefault(find(n), len(numbers) + 1) for n in above}
