"""The objects of some files by kind and name, with what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from closet.errors import IntentError
from closet.importer.hedgehog import (
    KINDS,
    OTHER_CONNECTIONS,
    SILENT_KINDS,
    UNSUPPORTED_KINDS,
    Connection,
    Spec,
    Switch,
    Topology,
    unsupported,
)
from closet.importer.leftovers import Leftovers
from closet.importer.objects import Object
from closet.intent.say import say
from closet.intent.text import Place

S = TypeVar("S", bound=Spec)

WHOLES: dict[str, Any] = {kind: create_model(kind, spec=(model, ...)) for kind, model in KINDS.items()}
"""Kind → an object with such a spec: what is wrong in one is at `spec....`."""


@dataclass(slots=True)
class Diagram:
    """What was read: kind → name → the object and its spec."""

    objects: dict[str, dict[str, tuple[Object, Spec]]] = field(default_factory=dict)

    def all(self, model: type[S]) -> Iterator[tuple[Object, S]]:
        """The objects of a kind, in order."""
        for obj, spec in self.objects.get(model.__name__, {}).values():
            assert isinstance(spec, model)  # noqa: S101  by construction
            yield obj, spec

    def get(self, model: type[S], name: str) -> S | None:
        """The spec of one, None where there is none of that name."""
        found = self.objects.get(model.__name__, {}).get(name)
        if found is None:
            return None
        assert isinstance(found[1], model)  # noqa: S101  by construction
        return found[1]

    def need(self, model: type[S], name: str, by: Object, at: Place) -> S:
        """The spec of one that another refers to.

        Raises:
            IntentError: there is none.
        """
        found = self.get(model, name)
        if found is None:
            raise by.wrong(at, f"no {model.__name__} {name!r} in these files")
        return found

    def spines(self) -> list[str]:
        """Names of the spines, in order."""
        return [obj.name for obj, switch in self.all(Switch) if switch.role == "spine"]

    def leaves(self) -> list[str]:
        """Names of all other switches, in order."""
        return [obj.name for obj, switch in self.all(Switch) if switch.role != "spine"]


def read_diagram(objects: Sequence[Object], left: Leftovers) -> Diagram:
    """What objects say, and a list of what closet has no word for.

    Raises:
        IntentError: an object of an unknown kind, with wrong values, or of another fabric than the others.
    """
    diagram = Diagram()
    fabric: tuple[str, Object] | None = None
    for obj in objects:
        if obj.kind in KINDS:
            spec = _spec(obj)
            diagram.objects.setdefault(obj.kind, {})[obj.name] = (obj, spec)
            topology = getattr(spec, "topology", None)
            if isinstance(topology, Topology):
                fabric = fabric or (topology.fabric, obj)
                if topology.fabric != fabric[0]:
                    why = f"{topology.fabric!r} given, {fabric[1]} is in {fabric[0]!r}, allowed: objects of one fabric"
                    raise obj.wrong(("topology", "fabric"), why)
            for at, value in unsupported(spec):
                if not (isinstance(spec, Connection) and at[0] in OTHER_CONNECTIONS):  # left out as a whole
                    left.leave(obj, at, value)
        elif obj.kind in UNSUPPORTED_KINDS:
            left.leave(obj, ())
        elif obj.kind not in SILENT_KINDS:
            raise obj.wrong((), f"unknown kind, allowed: {', '.join(KINDS)}")
    return diagram


def _spec(obj: Object) -> Spec:
    whole: type[BaseModel] = WHOLES[obj.kind]
    try:
        made = whole.model_validate({"spec": obj.spec})
    except ValidationError as e:
        depth = len(obj.at)
        lines = {at[depth:]: line for at, line in obj.lines.items() if at[:depth] == obj.at}
        raise IntentError(say(whole, e, obj.source, lines, f"{obj}: ")) from None
    spec: Spec = made.spec  # type: ignore[attr-defined]
    return spec
