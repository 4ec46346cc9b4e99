"""The typed records that observers make, expectations state and checks compare."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line an engineer can act on."""

    device: str
    subject: str
    expected: str
    observed: str

    def __str__(self) -> str:
        return f"{self.device}  {self.subject}  expected {self.expected}, observed {self.observed}"


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session as one end sees it.

    Attributes:
        neighbour: host name the other end announced (draft-walton-bgp-hostname-capability), "" if none yet.
        state: RFC 4271 section 8.2.2, or why it does not carry routes ("Policy", "PfxCt").
        bfd: "up", "down" or "" where BFD is not in use.
    """

    neighbour: str
    asn: int
    state: str
    bfd: str = ""


Fib = dict[IPv4Network, frozenset[str]]
"""Prefix → outgoing ports of its next hops; the empty set is a blackhole."""
