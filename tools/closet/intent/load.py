"""An intent file → `Intent`, or one line saying file, place, what was given and what is allowed."""

from __future__ import annotations

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

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path) -> Intent:
    """Read and validate an intent file, with the `config` files it names.

    Raises:
        IntentError: it cannot be read, is no YAML, or says something that is not allowed.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise IntentError(f"{path}: {path.stat().st_size} bytes, allowed: at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise IntentError(f"{path}: byte {e.start} is not UTF-8 text, allowed: a YAML file") from None
    except OSError as e:
        raise IntentError(f"{path}: {e.strerror}, expected an intent file") from None
    return _with_configs(loads(text, str(path)), path)


def loads(text: str, source: str = "<intent>") -> Intent:
    """Validate the text of an intent; `source` is what errors call it. Reads no other file."""
    data, lines = _parse(text, source)
    try:
        return Intent.model_validate(data)
    except ValidationError as e:
        error = e.errors(include_url=False)[0]
        raise IntentError(_say(source, lines, error)) from None


def _with_configs(intent: Intent, path: Path) -> Intent:
    """Replace the name of each node's own configuration file by its text: planning does no I/O."""
    nodes = dict(intent.nodes)
    for pattern, node in nodes.items():
        if node.config is None:
            continue
        file = path.parent / node.config
        try:
            nodes[pattern] = node.model_copy(update={"config": file.read_text(encoding="utf-8")})
        except (OSError, UnicodeDecodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "not UTF-8 text"
            raise IntentError(f"{path}: nodes.{pattern}.config: {node.config}: {why}, expected an frr.conf") from None
    return intent.model_copy(update={"nodes": nodes})


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise IntentError(f"{where}: not YAML: {e.problem or e.context}") from None
    except (yaml.YAMLError, RecursionError) as e:
        raise IntentError(f"{source}: not YAML: {str(e).splitlines()[0]}") from None
    if root is None:
        raise IntentError(f"{source}: empty, expected at least a name (see `closet schema`)")
    if not isinstance(root, yaml.MappingNode):
        raise IntentError(
            f"{source}: a {root.tag.rpartition(':')[2]}, expected a mapping of words (see `closet schema`)"
        )
    lines: dict[tuple[str | int, ...], int] = {}
    _walk(root, (), lines, set(), source)
    try:
        data: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader by another name
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise IntentError(f"{source}: not YAML: {str(e).splitlines()[0]}") from None
    return data, lines


def _walk(
    node: yaml.Node,
    at: tuple[str | int, ...],
    lines: dict[tuple[str | int, ...], int],
    above: set[int],
    source: str,
) -> None:
    """Note the line of every place; refuse a value inside itself, too many aliases and a key given twice."""
    line = node.start_mark.line + 1
    lines[at] = line
    if id(node) in above:
        raise IntentError(f"{source}:{line}: {_place(at)}: refers to itself, allowed: values that end")
    if len(lines) > MAX_NODES or len(above) > 64:
        raise IntentError(f"{source}:{line}: {_place(at)}: too large or too deep, allowed: {MAX_NODES} values, 64 deep")
    inside = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _walk(item, (*at, i), lines, inside, source)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise IntentError(f"{source}:{key.start_mark.line + 1}: {_place(at)}: a key must be a plain word")
            here = (*at, str(key.value))
            if here in lines:
                raise IntentError(
                    f"{source}:{key.start_mark.line + 1}: {_place(here)}: given twice "
                    f"(first on line {lines[here]}), allowed: once"
                )
            _walk(value, here, lines, inside, source)


def _place(at: tuple[str | int, ...]) -> str:
    out = ""
    for part in at:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out or "top level"


def _say(source: str, lines: dict[tuple[str | int, ...], int], error: Any) -> str:
    """One line of a pydantic error, in closet's order: file, place, given, allowed."""
    loc = tuple(p for p in error["loc"] if isinstance(p, int) or not p.startswith(("function-", "constrained-")))
    known: tuple[str | int, ...] = ()
    for part in loc:  # a union's branches ("Bfd", "bool") are pydantic's words, not the file's: skip them
        known = (*known, part) if (*known, part) in lines else known
    shown = (*known, loc[-1]) if error["type"] == "missing" else (known or loc)
    where = f"{source}:{lines[known]}: {_place(shown)}" if known in lines else f"{source}: {_place(shown)}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key, allowed: {', '.join(_words_at(shown[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing, it must be given"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    given = repr(error["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    return f"{where}: {given} given, allowed: {_allowed(error)}"


def _allowed(error: Any) -> str:
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return f"text like {context['pattern']}"
    message = str(error["msg"])
    for prefix in ("Input should be ", "Value error, "):
        message = message.removeprefix(prefix)
    return message[0].lower() + message[1:]


def _words_at(at: tuple[str | int, ...]) -> list[str]:
    """The keys the schema knows at a place."""
    schema = Intent.model_json_schema()
    node: dict[str, Any] = schema
    for part in at:
        branches = [node, *node.get("anyOf", [])]
        nexts = [b["properties"][part] for b in branches if part in b.get("properties", {})]
        nexts += [b["additionalProperties"] for b in branches if isinstance(b.get("additionalProperties"), dict)]
        if not nexts:
            return ["none"]
        node = _deref(nexts[0], schema)
        for option in node.get("anyOf", []):
            if "$ref" in option:
                node = _deref(option, schema)
    return list(node.get("properties", {})) or ["none"]


def _deref(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    ref = node.get("$ref")
    return schema["$defs"][ref.rsplit("/", 1)[1]] if ref else node
