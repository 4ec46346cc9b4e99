"""The words about a fabric that no counts describe: every node by name, and every cable."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from closet.intent.words import Name, Words

End = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*(:[a-zA-Z][a-zA-Z0-9_.-]{0,14})?$", max_length=32 + 1 + 15)
]
"""One end of a cable: a node, or a node and its port (`leaf1:eth49`)."""


class Wiring(Words):
    """Who is there and what is joined to what, one by one.

    For a fabric that no counts describe. It goes in place of `pods`, `superspines`, `planes`, `spines`, `leaves`,
    `groups`, `rails`, and of how `hosts` attach. Numbers and addresses follow as they do elsewhere, or `nodes` gives
    them.
    """

    superspines: tuple[Name, ...] = ()
    """Names, in the order numbers are given out; so for the other tiers."""
    spines: tuple[Name, ...] = ()
    """Switches that join leaves."""
    leaves: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Switches that hosts are on."""
    hosts: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Hosts, each on one leaf or several."""
    links: Annotated[tuple[tuple[End, End], ...], Field(min_length=1)]
    """Cables between neighbouring tiers or two leaves, the ends in any order: `[leaf1:eth49, spine1]`. An end that
    names no port gets the next free one of `links.ports`."""
