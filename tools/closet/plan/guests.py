"""A host whose NICs are in several tenants: a machine whose guests have them, each with a network stack of its own.

So operators run such a machine: the NICs of each tenant are passed through to a virtual machine or a pod of its own.
A guest is a host like any other. Its numbers follow from its machine's and its first NIC, so that no other tenant, and
no other machine that is split, changes them; and those of all other nodes are what they are without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from closet.errors import IntentError
from closet.intent.model import MAX_NODES, Intent
from closet.plan.fabric import Role
from closet.plan.members import Seat, Seats
from closet.plan.shape import Draft, Shape


def split(intent: Intent, shape: Shape, names: Sequence[str], where: Seats) -> Shape:
    """The same cables, with guests in place of every host that is in several places.

    What is left of the host has the NICs that are in the underlay. The guests follow it; one is called
    `<host>-<tenant>`, and `<host>-<tenant>-<subnet>` where the host is in several subnets of the tenant.

    Args:
        names: of the drafts.

    Raises:
        IntentError: a guest would be called as another node is, or there are too many nodes.
    """
    taken = {*names, *(d.name for d in shape.drafts)}
    drafts: list[Draft] = []
    for draft, name in zip(shape.drafts, names, strict=True):
        its = {where.get(cable): None for cable, _ in draft.cables} if draft.role is Role.HOST else {}
        if len(its) < 2:
            drafts.append(draft)
            continue
        for guest in _parts(shape, draft, name, where):
            if guest.name != draft.name and guest.name in taken:
                seat = where[guest.cables[0][0]]
                raise IntentError(
                    f"{intent.name}: {seat.place(intent)}.hosts: NICs of {name} would make a guest called "
                    f"{guest.name!r}, and there is a host of that name, allowed: another name for one of them"
                )
            taken.add(guest.name)
            drafts.append(guest)
    if len(drafts) == len(shape.drafts):
        return shape
    if len(drafts) > MAX_NODES:
        raise IntentError(f"{intent.name}: tenants: {len(drafts)} nodes with guests, allowed: at most {MAX_NODES}")
    at = {end: i for i, draft in enumerate(drafts) for end in draft.cables}
    return Shape(drafts, [(at[c, 0], at[c, 1]) for c in range(len(shape.cables))], shape.port_name)


def _parts(shape: Shape, machine: Draft, name: str, where: Seats) -> Iterator[Draft]:
    """What is left of a machine, if anything is, and its guests in the order of their first NICs."""
    ends: dict[Seat | None, list[tuple[int, int]]] = {None: []}
    first: dict[Seat | None, int] = {}
    for n, end in enumerate(machine.cables, 1):
        seat = where.get(end[0])
        ends.setdefault(seat, []).append(end)
        first.setdefault(seat, n)
    hosts = sum(d.role is Role.HOST for d in shape.drafts)
    several = Counter(seat.tenant for seat in ends if seat is not None)
    for seat, its in ends.items():
        if seat is None and its:
            yield replace(machine, cables=its, machine=machine)
        elif seat is not None:
            yield replace(
                machine,
                name="-".join([name, seat.tenant, *([seat.subnet] if several[seat.tenant] > 1 else [])]),
                index=machine.index + hosts * first[seat],
                number=machine.number + len(shape.drafts) * first[seat],
                cables=its,
                machine=machine,
            )
