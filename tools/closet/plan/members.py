"""Which NIC is in which tenant, and the addresses that come with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from itertools import islice
from typing import NamedTuple

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.plan.fabric import Role
from closet.plan.shape import Draft, Shape


class Seat(NamedTuple):
    """A tenant and a subnet of it."""

    tenant: str
    subnet: str

    def place(self, intent: Intent) -> str:
        """What says in an intent who is there."""
        return f"tenants.{self.tenant}" + (f".subnets.{self.subnet}" if intent.tenants[self.tenant].subnets else "")


Seats = Mapping[int, Seat]
"""Cable → where the NIC at its lower end is; those of the underlay are nowhere."""


def seats(intent: Intent, shape: Shape, names: Sequence[str]) -> Seats:
    """Where the NICs are.

    Args:
        names: of the drafts.

    Raises:
        IntentError: a pattern matches no host or NIC, or a NIC would be in two tenants or subnets.
    """
    hosts = {name: draft for name, draft in zip(names, shape.drafts, strict=True) if draft.role is Role.HOST}
    found: dict[int, Seat] = {}
    for tenant, words in intent.tenants.items():
        for name, subnet in words.parts().items():
            seat = Seat(tenant, name)
            for i, pattern in enumerate(subnet.hosts):
                at = f"{intent.name}: {seat.place(intent)}.hosts"
                for host, cable in _matched(f"{at}[{i}]", pattern, hosts, shape):
                    if (other := found.setdefault(cable, seat)) != seat:
                        raise IntentError(
                            f"{at}: {host}:{shape.port_name[cable, 1]} is in {other.place(intent)} already, "
                            f"allowed: one tenant and subnet a NIC"
                        )
    return found


def _matched(at: str, pattern: str, hosts: Mapping[str, Draft], shape: Shape) -> Iterator[tuple[str, int]]:
    """The NICs a pattern means, as host and cable."""
    host_pattern, colon, port_pattern = pattern.partition(":")
    # Most patterns are names, and with a thousand tenants there is no time to try each on every host.
    its = [host_pattern] if host_pattern in hosts else [name for name in hosts if fnmatchcase(name, host_pattern)]
    if not its:
        first, *_, last = [*hosts, *hosts]
        raise IntentError(f"{at}: {pattern!r} matches no host, allowed: a name or pattern of {first} ... {last}")
    nics = [(name, cable) for name in its for cable, _ in hosts[name].cables]
    meant = [n for n in nics if not colon or fnmatchcase(shape.port_name[n[1], 1], port_pattern)]
    if not meant:
        there = ", ".join(shape.port_name[cable, 1] for cable, _ in hosts[its[0]].cables)
        raise IntentError(f"{at}: {pattern!r} matches no NIC, allowed: a name or pattern of those of {its[0]}: {there}")
    return iter(meant)


def given_addresses(
    intent: Intent, shape: Shape, names: Sequence[str], where: Seats
) -> dict[str, tuple[IPv4Address, ...]]:
    """Host → its VIP and a /32 for each of its NICs, for all whose subnet has a prefix; in the order of the fabric.

    Args:
        shape: one in which all NICs of a host are in one place.

    Raises:
        IntentError: a prefix is too small.
    """
    free: dict[Seat, Iterator[IPv4Address]] = {}
    found = {}
    for draft, name in zip(shape.drafts, names, strict=True):
        seat = where.get(draft.cables[0][0]) if draft.role is Role.HOST else None
        net = intent.tenants[seat.tenant].parts()[seat.subnet].prefix if seat is not None else None
        if seat is None or net is None:
            continue
        its = free.setdefault(seat, iter(net.hosts()))
        many = 1 + len(draft.cables)
        found[name] = tuple(islice(its, many))
        if len(found[name]) < many:
            raise IntentError(
                f"{intent.name}: {seat.place(intent)}.prefix: {net} is too small: {name} needs {many} more "
                f"addresses, one for itself and one a NIC"
            )
    return found
