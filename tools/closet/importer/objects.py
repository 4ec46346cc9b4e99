"""YAML streams of Kubernetes objects → `Object`s, each with its place in its file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closet.errors import IntentError
from closet.intent.text import Lines, Place, documents, place, read, short

MAX_BYTES = 8 << 20
"""Of one file: about 20,000 objects."""
MAX_VALUES = 1_000_000
"""YAML values of one file, with aliases expanded."""

GROUPS = ("wiring.githedgehog.com/", "vpc.githedgehog.com/", "gateway.githedgehog.com/")
"""Whose objects are read; a version follows, and those in use agree in all that is."""
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
"""What Kubernetes lets an object be called (RFC 1123 subdomain)."""
KIND = re.compile(r"[A-Za-z0-9]{1,63}")


@dataclass(frozen=True, slots=True)
class Object:
    """A Kubernetes object as it stands in a file.

    Attributes:
        spec: what it says, as YAML has it.
        at: the place of the object in its document: `()`, or one of a list's items.
        lines: the line of every place in the document.
    """

    kind: str
    name: str
    spec: Any
    source: str
    at: Place
    lines: Lines

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def where(self, inside: Place = ()) -> str:
        """File, line, object and the place of something in its spec: the beginning of a sentence."""
        return f"{self.source}:{self.line(inside)}: {self}" + (f": {place(('spec', *inside))}" if inside else "")

    def line(self, inside: Place = ()) -> int:
        """The line of something in its spec, or of what that is in."""
        at = (*self.at, "spec", *inside) if inside else self.at
        while at not in self.lines:
            at = at[:-1]
        return self.lines[at]

    def wrong(self, inside: Place, why: str) -> IntentError:
        """The error that something in its spec makes."""
        return IntentError(f"{self.where(inside)}: {why}")


def read_objects(paths: Sequence[Path]) -> list[Object]:
    """All objects of some files, in order; `kind: List` is what it holds.

    Raises:
        IntentError: a file cannot be read or is no YAML, or holds what is no Hedgehog object, or one twice.
    """
    found: dict[tuple[str, str], Object] = {}
    for path in paths:
        try:
            text = read(path, MAX_BYTES)
        except ValueError as e:
            raise IntentError(f"{path}: {e}, expected a YAML file of Hedgehog objects") from None
        for obj in parse_objects(text, str(path)):
            first = found.setdefault((obj.kind, obj.name), obj)
            if first is not obj:
                raise obj.wrong((), f"is there already (first at {first.where().partition(': ')[0]}), allowed: once")
    return list(found.values())


def parse_objects(text: str, source: str) -> Iterator[Object]:
    """The objects of a text.

    Raises:
        IntentError: it is no YAML, or holds what is no Hedgehog object.
    """
    for found in documents(text, source, MAX_VALUES):
        if found.data is not None:
            yield from _objects(found.data, source, (), found.lines)


def _objects(data: Any, source: str, at: Place, lines: Lines) -> Iterator[Object]:
    here = f"{source}:{lines.get(at, lines[()])}"
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or not KIND.fullmatch(kind):
        given = "a mapping without a kind" if isinstance(data, dict) and kind is None else short(repr(kind or data))
        raise IntentError(f"{here}: {given}, expected an object with apiVersion, kind, metadata and spec")
    items = data.get("items")
    if kind.endswith("List") and isinstance(items, list):
        for i, item in enumerate(items):
            yield from _objects(item, source, (*at, "items", i), lines)
        return
    version = data.get("apiVersion")
    if not isinstance(version, str) or not version.startswith(GROUPS):
        allowed = ", ".join(f"{group}v1beta1" for group in GROUPS[:2])
        raise IntentError(f"{here}: {kind}: apiVersion: {short(repr(version))} given, allowed: {allowed}")
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise IntentError(f"{here}: {kind}: metadata.name: {short(repr(name))} given, allowed: a name Kubernetes takes")
    yield Object(kind, name, {} if data.get("spec") is None else data["spec"], source, at, lines)
