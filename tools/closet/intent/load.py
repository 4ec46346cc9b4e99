"""An intent file → `Intent`, or one line saying file, place, what was given and what is allowed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from closet.errors import IntentError
from closet.intent.model import Intent

MAX_BYTES = 1 << 20
"""An intent is written by a person; a megabyte is far beyond that, and bounds what parsing costs."""
MAX_NODES = 100_000
"""YAML nodes with aliases expanded: what stops a few lines of aliases from becoming gigabytes."""
MAX_DEPTH = 64
"""Collections inside one another; libyaml's composer recurses on the C stack and would overflow it."""
WORD_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
"""What a key may be: text, or the `<<` that merges a mapping."""
ALLOWED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "ip_v4_address": "an IPv4 address",
    "ip_v4_network": "an IPv4 network, with no bits set beyond its length",
}
"""pydantic's error types in the words of a network engineer."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path) -> Intent:
    """Read and validate an intent file, with the `config` files it names.

    Raises:
        IntentError: it cannot be read, is no YAML, or says something that is not allowed.
    """
    try:
        text = _read(path)
    except ValueError as e:
        raise IntentError(f"{path}: {e}, expected an intent file") from None
    return _with_configs(loads(text, str(path)), path)


def loads(text: str, source: str = "<intent>") -> Intent:
    """Validate the text of an intent; `source` is what errors call it. Reads no other file."""
    data, lines = _parse(text, source)
    try:
        return Intent.model_validate(data)
    except ValidationError as e:
        raise IntentError(_say(source, lines, e.errors(include_url=False))) from None


def _read(path: Path) -> str:
    """The text of a file; ValueError says in a few words why there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # not by st_size: a pipe or device has none
    except OSError as e:
        raise ValueError(e.strerror) from None
    if len(data) > MAX_BYTES:
        msg = f"more than {MAX_BYTES} bytes"
        raise ValueError(msg)
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        msg = f"byte {e.start} is not UTF-8 text"
        raise ValueError(msg) from None


def _with_configs(intent: Intent, path: Path) -> Intent:
    """Replace the name of each node's own configuration file by its text: planning does no I/O."""
    nodes = dict(intent.nodes)
    for pattern, node in nodes.items():
        if node.config is None:
            continue
        try:
            nodes[pattern] = node.model_copy(update={"config": _read(path.parent / node.config)})
        except ValueError as e:
            place = _place(("nodes", pattern, "config"))
            raise IntentError(f"{path}: {place}: {node.config!r}: {e}, expected an frr.conf") from None
    return intent.model_copy(update={"nodes": nodes})


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    try:
        _check_depth(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise _not_yaml(source, e) from None
    if root is None:
        raise IntentError(f"{source}: empty, expected at least a name (see `closet schema`)")
    if not isinstance(root, yaml.MappingNode):
        raise IntentError(
            f"{source}: a {root.tag.rpartition(':')[2]}, expected a mapping of words (see `closet schema`)"
        )
    lines: dict[tuple[str | int, ...], int] = {}
    _walk(root, (), root.start_mark.line + 1, lines, set(), source)
    try:
        data: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader by another name
    except Exception as e:  # PyYAML's constructors let slip whatever float(), int() or a regex came across
        raise _not_yaml(source, e) from None
    return data, lines


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


def _walk(
    node: yaml.Node,
    at: tuple[str | int, ...],
    line: int,
    lines: dict[tuple[str | int, ...], int],
    above: set[int],
    source: str,
) -> None:
    """Note the line of every place; refuse a value inside itself, too many aliases and a key given twice."""
    lines[at] = line
    if id(node) in above:
        raise IntentError(f"{source}:{line}: {_place(at)}: refers to itself, allowed: values that end")
    if len(lines) > MAX_NODES or len(above) > MAX_DEPTH:
        raise IntentError(
            f"{source}:{line}: {_place(at)}: too large or too deep, allowed: {MAX_NODES} values, {MAX_DEPTH} deep"
        )
    inside = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _walk(item, (*at, i), item.start_mark.line + 1, lines, inside, source)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in WORD_TAGS:
                given = repr(key.value) if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                raise IntentError(
                    f"{source}:{key.start_mark.line + 1}: {_place(at)}: {_short(given)} given as a key, "
                    f"allowed: text (quote a number, date, true or false)"
                )
            here = (*at, str(key.value))
            if here in lines:
                raise IntentError(
                    f"{source}:{key.start_mark.line + 1}: {_place(here)}: given twice "
                    f"(first on line {lines[here]}), allowed: once"
                )
            _walk(value, here, key.start_mark.line + 1, lines, inside, source)


def _place(at: tuple[str | int, ...]) -> str:
    out = ""
    for part in at:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            word = _short(part if part.isprintable() else repr(part))
            out += f".{word}" if out else word
    return out or "top level"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _say(source: str, lines: dict[tuple[str | int, ...], int], errors: list[Any]) -> str:
    """One line of pydantic's first error, in closet's order: file, place, given, allowed."""
    error = errors[0]
    known = _known(error["loc"], lines)
    shown = (*known, error["loc"][-1]) if error["type"] == "missing" else (known or error["loc"])
    where = f"{source}:{lines[known]}: {_place(shown)}" if known in lines else f"{source}: {_place(shown)}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key, allowed: {', '.join(_words_at(shown[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing, it must be given"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    branches = [e for e in errors if _known(e["loc"], lines) == known]
    allowed = " or ".join(dict.fromkeys(_allowed(e) for e in branches))
    return f"{where}: {_short(repr(error['input']))} given, allowed: {allowed}"


def _known(loc: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """The place in the file: a union's branches ("Bfd", "bool") are pydantic's words, so skip them."""
    known: tuple[str | int, ...] = ()
    for part in loc:
        known = (*known, part) if (*known, part) in lines else known
    return known


def _allowed(error: Any) -> str:
    context = error.get("ctx", {})
    if error["type"] in ALLOWED:
        return ALLOWED[error["type"]]
    if error["type"] == "string_pattern_mismatch":
        return f"text like {context['pattern']}"
    if error["type"] == "string_too_long":
        return f"at most {context['max_length']} characters"
    message = str(error["msg"]).removeprefix("Input should be ")
    return message[0].lower() + message[1:]


def _words_at(at: tuple[str | int, ...]) -> list[str]:
    """The keys the schema knows at a place."""
    schema = _schema()
    node: dict[str, Any] = schema
    for part in at:
        branches = [node, *node.get("anyOf", [])]
        nexts = [b["properties"][part] for b in branches if part in b.get("properties", {})]
        nexts += [b["additionalProperties"] for b in branches if isinstance(b.get("additionalProperties"), dict)]
        nexts += [named for b in branches for named in b.get("patternProperties", {}).values()]
        if not nexts:
            return ["none"]
        node = _deref(nexts[0], schema)
        for option in node.get("anyOf", []):
            if "$ref" in option:
                node = _deref(option, schema)
    return list(node.get("properties", {})) or ["none"]


@cache
def _schema() -> dict[str, Any]:
    return Intent.model_json_schema()


def _deref(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    ref = node.get("$ref")
    return schema["$defs"][ref.rsplit("/", 1)[1]] if ref else node
