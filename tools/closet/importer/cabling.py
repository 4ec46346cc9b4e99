"""Connections → cables between closet's nodes and ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from closet.importer.diagram import Diagram
from closet.importer.hedgehog import OTHER_CONNECTIONS, Connection, Port, Server, Spec, Switch
from closet.importer.leftovers import Leftovers
from closet.importer.objects import Object
from closet.intent.text import Place
from closet.intent.words import IFNAMSIZ

KINDS = ("fabric", "mesh", "unbundled")
FRONT = re.compile(r"E1/(\d+)(?:/(\d+))?")
"""A port of a switch with one line card, and which part of it where it is broken out."""
LINUX = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable: a device, its port as the diagram has it, and as Linux can call it."""

    device: str
    given: str
    port: str


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable, the upper end first, and the connection it is of."""

    connection: str
    upper: End
    lower: End
    mtu: int = 0


def port_name(given: str) -> str:
    """A port's name as a Linux interface: `E1/5` is eth5, `E1/55/2` eth55-2, `enp2s1` stays."""
    if front := FRONT.fullmatch(given):
        return f"eth{front[1]}" + (f"-{front[2]}" if front[2] else "")
    return given.replace("/", "-")


class Cabling:
    """The cables of a diagram.

    Raises:
        IntentError: a connection is of no kind or two, names what is not there, or a port is used twice.
    """

    def __init__(self, diagram: Diagram, left: Leftovers) -> None:
        self._diagram = diagram
        self._used: dict[tuple[str, str], Object] = {}
        self.cables: list[Cable] = []
        for obj, connection in diagram.all(Connection):
            kinds = [kind for kind in KINDS if getattr(connection, kind) is not None]
            others = [kind for kind in OTHER_CONNECTIONS if kind in (connection.model_extra or {})]
            if len(kinds) + len(others) != 1:
                got = " and ".join([*kinds, *others]) or "none"
                raise obj.wrong((), f"exactly one of {', '.join(KINDS)} is needed, got {got}")
            if others:
                left.leave(obj, (others[0],))
            else:
                self.cables += self._cables(obj, connection)

    def of_servers(self) -> dict[str, End]:
        """Connection → the server it is of, and the NIC."""
        return {c.connection: c.lower for c in self.cables if self._diagram.get(Server, c.lower.device)}

    def _cables(self, obj: Object, connection: Connection) -> Iterator[Cable]:
        if connection.fabric is not None:
            for i, link in enumerate(connection.fabric.links):
                at: Place = ("fabric", "links", i)
                spine = self._end(obj, (*at, "spine"), link.spine, Switch)
                leaf = self._end(obj, (*at, "leaf"), link.leaf, Switch)
                self._check_role(obj, (*at, "spine"), spine.device, spine=True)
                self._check_role(obj, (*at, "leaf"), leaf.device, spine=False)
                yield Cable(obj.name, spine, leaf)
        if connection.mesh is not None:
            for i, between in enumerate(connection.mesh.links):
                at = ("mesh", "links", i)
                one = self._end(obj, (*at, "leaf1"), between.leaf1, Switch)
                other = self._end(obj, (*at, "leaf2"), between.leaf2, Switch)
                self._check_role(obj, (*at, "leaf1"), one.device, spine=False)
                self._check_role(obj, (*at, "leaf2"), other.device, spine=False)
                yield Cable(obj.name, one, other)
        if connection.unbundled is not None:
            at = ("unbundled", "link")
            link_ = connection.unbundled.link
            leaf = self._end(obj, (*at, "switch"), link_.switch, Switch)
            self._check_role(obj, (*at, "switch"), leaf.device, spine=False)
            server = self._end(obj, (*at, "server"), link_.server, Server)
            yield Cable(obj.name, leaf, server, connection.unbundled.mtu)

    def _end(self, obj: Object, at: Place, port: Port, model: type[Spec]) -> End:
        self._diagram.need(model, port.device, obj, (*at, "port"))
        end = End(port.device, port.local, port_name(port.local))
        if len(end.port) > IFNAMSIZ or not LINUX.fullmatch(end.port):
            why = f"{port.port!r} given, allowed: at most {IFNAMSIZ} letters, digits, -, _ and . after the device"
            raise obj.wrong((*at, "port"), why)
        # A port that is broken out is also called by its first part: E1/4 is then E1/4/1.
        for name in {end.port, f"{end.port}-1", end.port.removesuffix("-1")}:
            alias = name != end.port
            if (other := self._used.get((end.device, name))) and (not alias or FRONT.fullmatch(end.given)):
                raise obj.wrong((*at, "port"), f"{port.port} is used by {other} already, allowed: one link a port")
        self._used[end.device, end.port] = obj
        return end

    def _check_role(self, obj: Object, at: Place, name: str, *, spine: bool) -> None:
        switch = self._diagram.need(Switch, name, obj, at)
        if (switch.role == "spine") != spine:
            allowed = "a spine" if spine else "a leaf"
            raise obj.wrong((*at, "port"), f"{name} is a {switch.role}, allowed: {allowed}")
