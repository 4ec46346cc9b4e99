"""What was imported → the text of an intent, for people to read and go on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from closet.importer.cabling import Cable, End
from closet.importer.convert import HOST_ASN, Imported

WIDTH = 116


def write(made: Imported) -> str:
    """The text of the intent."""
    return "\n".join([*_head(made), *_body(made)]) + "\n"


def _head(made: Imported) -> Iterator[str]:
    yield f"# Imported by `closet import` from {', '.join(map(_plain, made.sources))}."
    yield "# Every host speaks BGP: it announces a VIP over all its links and an address a NIC, out of its subnet."
    for title, lines in (("Left out", made.left.skipped), ("Noted", made.left.notes)):
        if lines:
            yield "#"
            yield f"# {title}:"
            yield from (f"#   {_plain(line)}" for line in lines)


def _body(made: Imported) -> Iterator[str]:
    yield f"name: {_word(made.name)}"
    yield "wiring:"
    for tier in ("spines", "leaves", "hosts"):
        if names := getattr(made, tier):
            yield from _list(f"  {tier}: ", names)
    yield "  links:"
    yield from map(_cable, made.cables)
    yield f"links: {{mtu: {made.mtu}}}"
    yield f"bgp: {{asns: {{hosts: {HOST_ASN}, shared: [superspines, spines, hosts]}}}}"
    if made.loopbacks is not None:
        hosts, vips = made.pools or ("", "")
        yield f"pools: {{loopbacks: {made.loopbacks}{f', hosts: {hosts}, vips: {vips}' if made.pools else ''}}}"
    if any(made.numbers.values()):
        yield "nodes:"
        yield from (f"  {_word(name)}: {_flow(words)}" for name, words in made.numbers.items() if words)
    if made.tenants:
        yield "tenants:"
    for name, words in made.tenants.items():
        yield f"  {_word(name)}:"
        yield from (f"    {key}: {_flow(value)}" for key, value in words.items() if key != "subnets")
        yield "    subnets:"
        for subnet, its in words["subnets"].items():
            yield f"      {_word(subnet)}:"
            yield from _list("        hosts: ", its["hosts"])
            yield from (f"        {key}: {_flow(value)}" for key, value in its.items() if key != "hosts")
    if made.peerings:
        yield "peerings:"
        yield from (f"  - {_flow(peering)}" for peering in made.peerings)


def _cable(cable: Cable) -> str:
    ends = f"    - [{_end(cable.upper)}, {_end(cable.lower)}]"
    changed = [f"{end.device}/{end.given}" for end in (cable.upper, cable.lower) if end.given != end.port]
    return f"{ends:<60}  # {_plain(' '.join(changed))}" if changed else ends


def _end(end: End) -> str:
    """An end; its names need no quotes, since it has a colon inside."""
    return f"{end.device}:{end.port}"


def _list(key: str, names: Iterable[str]) -> Iterator[str]:
    """A key and a list of words, in as many lines as it takes."""
    line = f"{key}["
    indent = " " * len(line)
    for i, name in enumerate(names):
        word = f", {_word(name)}" if i else _word(name)
        if len(line) + len(word) > WIDTH:
            yield f"{line},"
            line = indent + _word(name)
        else:
            line += word
    yield f"{line}]"


def _flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _word(value) if isinstance(value, str) else str(value).lower()


def _word(text: str) -> str:
    """A text, in quotes where YAML would take it for something else."""
    return text if yaml.safe_load(text) == text else f'"{text}"'


def _plain(text: str) -> str:
    """A text that stays in its line."""
    return "".join(c if c.isprintable() else "?" for c in text)
