"""The way a queue pair's packets take: addresses, source port, service class, and the seeds of their ICRCs."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address

from closet.roce import icrc

MOST_LENGTHS = 64
"""Lengths whose seeds a flow remembers; whoever sends packets of any length must not fill the memory."""


class Seeds(defaultdict[int, int]):
    """Bytes of UDP payload → the seed of the ICRC of a flow's packets (`icrc.seed`), worked out when asked for."""

    __slots__ = ("_flow", "_fragment")

    def __init__(self, flow: bytes, fragment: int = icrc.DONT_FRAGMENT) -> None:
        super().__init__()
        self._flow = flow
        self._fragment = fragment

    def __missing__(self, length: int) -> int:
        if len(self) >= MOST_LENGTHS:
            self.clear()
        value = self[length] = icrc.seed(self._flow, length, self._fragment)
        return value


class Path:
    """A way through the network, in one direction.

    Args:
        local, remote: IPv4 addresses of this end and the other.
        sport: UDP source port, see `ports`.
        tos: the IPv4 type of service: DSCP in the upper six bits, ECN in the lower two.
        mtu: bytes of payload in a full packet (`wire.MTUS`).
    """

    __slots__ = ("local", "mtu", "remote", "seeds", "sport", "tos")

    def __init__(self, *, local: str, remote: str, sport: int, tos: int, mtu: int) -> None:
        self.local = local
        self.remote = remote
        self.sport = sport
        self.tos = tos
        self.mtu = mtu
        flow = IPv4Address(local).packed + IPv4Address(remote).packed + sport.to_bytes(2, "big")
        self.seeds = Seeds(flow)

    def __repr__(self) -> str:
        return f"Path({self.local}:{self.sport} to {self.remote}, ToS {self.tos:#04x}, MTU {self.mtu})"

    def with_tos(self, tos: int) -> Path:
        """The same way in another service class, sharing the seeds: they do not depend on it."""
        other = Path(local=self.local, remote=self.remote, sport=self.sport, tos=tos, mtu=self.mtu)
        other.seeds = self.seeds
        return other
