"""YAML text → data, and the line of every place in it; or one line saying why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from closet.errors import IntentError

MAX_BYTES = 1 << 20
"""An intent is written by a person; a megabyte is far beyond that, and bounds what parsing costs."""
MAX_NODES = 100_000
"""YAML nodes with aliases expanded: what stops a few lines of aliases from becoming gigabytes."""
MAX_DEPTH = 64
"""Collections inside one another; libyaml's composer recurses on the C stack and would overflow it."""
WORD_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
"""What a key may be: text, or the `<<` that merges a mapping."""
NUMBER_TAG = "tag:yaml.org,2002:int"
OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""A number that YAML 1.1 reads in base 8 (`010`) or 60 (`65000:10`), and nobody means so."""

Place = tuple[str | int, ...]
"""The keys and positions that lead to a value: `("links", 0)`."""
Lines = dict[Place, int]
"""Place → its line in the file, from 1; the whole document is at `()`."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document(NamedTuple):
    """A YAML document; `kind` is YAML's word for what it is: `map`, `seq`, `str`..."""

    kind: str
    data: Any
    lines: Lines


def read(path: Path, most: int = MAX_BYTES) -> str:
    """The text of a file of at most so many bytes.

    Raises:
        ValueError: says in a few words why there is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)  # not by st_size: a pipe or device has none
    except OSError as e:
        raise ValueError(e.strerror) from None
    if len(data) > most:
        msg = f"more than {most} bytes"
        raise ValueError(msg)
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        msg = f"byte {e.start} is not UTF-8 text"
        raise ValueError(msg) from None


def document(text: str, source: str) -> Document | None:
    """The one document of a text; None if it is empty. `source` is what errors call it.

    Raises:
        IntentError: it is no YAML, or too much of it, or has a key that is no text or is given twice.
    """
    found = _documents(text, source, MAX_NODES, several=False)
    return found[0] if found else None


def documents(text: str, source: str, most: int) -> list[Document]:
    """The documents of a text, up to so many values in all. Keys may be numbers, as in any JSON made of YAML.

    Raises:
        IntentError: as `document` does.
    """
    return _documents(text, source, most, several=True)


def _documents(text: str, source: str, most: int, *, several: bool) -> list[Document]:
    try:
        _check_depth(text, source)
        composed = list(yaml.compose_all(text, Loader=_Loader)) if several else [yaml.compose(text, Loader=_Loader)]
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise _not_yaml(source, e) from None
    roots = [root for root in composed if root is not None]
    found: list[Lines] = [{} for _ in roots]
    walk = _Walk(source, most, (*WORD_TAGS, NUMBER_TAG) if several else WORD_TAGS, as_meant=not several)
    for root, lines in zip(roots, found, strict=True):
        walk.visit(root, (), root.start_mark.line + 1, lines, frozenset())
    try:
        data = list(yaml.load_all(text, Loader=_Loader)) if roots else []
    except Exception as e:  # PyYAML's constructors let slip whatever float(), int() or a regex came across
        raise _not_yaml(source, e) from None
    kinds = [root.tag.rpartition(":")[2] for root in roots]
    return [Document(*made) for made in zip(kinds, data, found, strict=True)]


def place(at: Place) -> str:
    """A place as people write it: `links[0].mtu`."""
    out = ""
    for part in at:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            word = short(part if part.isprintable() else repr(part))
            out += f".{word}" if out else word
    return out or "top level"


def short(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= 60 else text[:57] + "..."


def _not_yaml(source: str, e: Exception) -> IntentError:
    if isinstance(e, yaml.MarkedYAMLError):
        mark = e.problem_mark or e.context_mark
        source = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        problem = e.problem or e.context or ""
        why = f"{e.context}, {problem}" if e.context and problem.startswith("but ") else problem
    else:
        why = next(iter(str(e).splitlines()), "")
    return IntentError(f"{source}: not YAML: {why or type(e).__name__}")


def _check_depth(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = event.start_mark
            where = f"{source}:{mark.line + 1}" if mark else source
            raise IntentError(f"{where}: too deep, allowed: {MAX_DEPTH} values inside one another")


@dataclass(slots=True)
class _Walk:
    """Notes the line of every place; refuses a value inside itself, too many aliases and a key given twice.

    With `as_meant`, also a number in a base that its writer did not mean.
    """

    source: str
    most: int
    key_tags: tuple[str, ...]
    as_meant: bool
    seen: int = 0

    def visit(self, node: yaml.Node, at: Place, line: int, lines: Lines, above: frozenset[int]) -> None:
        """Visit a value and all inside it; `above` holds what it is inside of."""
        lines[at] = line
        self.seen += 1
        if id(node) in above:
            raise self._wrong(line, at, "refers to itself, allowed: values that end")
        if self.seen > self.most or len(above) > MAX_DEPTH:
            raise self._wrong(line, at, f"too large or too deep, allowed: {self.most} values, {MAX_DEPTH} deep")
        if self.as_meant and node.tag == NUMBER_TAG and OTHER_BASE.fullmatch(str(node.value)):
            why = f"{short(node.value)} given, which is in base {60 if ':' in node.value else 8} to YAML"
            raise self._wrong(line, at, f"{why}, allowed: text in quotes, or a number without : and leading 0")
        inside = above | {id(node)}
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self.visit(item, (*at, i), item.start_mark.line + 1, lines, inside)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                first = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode) or key.tag not in self.key_tags:
                    given = repr(key.value) if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                    why = f"{short(given)} given as a key, allowed: text (quote a number, date, true or false)"
                    raise self._wrong(first, at, why)
                here = (*at, str(key.value))
                if here in lines:
                    raise self._wrong(first, here, f"given twice (first on line {lines[here]}), allowed: once")
                self.visit(value, here, first, lines, inside)

    def _wrong(self, line: int, at: Place, why: str) -> IntentError:
        return IntentError(f"{self.source}:{line}: {place(at)}: {why}")
