"""What is wrong with data, in one line: pydantic's first error in closet's order and a network engineer's words."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from closet.intent.text import Lines, Place, place, short

ALLOWED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "ip_v4_interface": "an IPv4 address and prefix length",
    "ip_v4_address": "an IPv4 address",
    "ip_v4_network": "an IPv4 network, with no bits set beyond its length",
}
"""pydantic's error types in the words of a network engineer."""


def say(model: type[BaseModel], e: ValidationError, source: str, lines: Lines, about: str = "") -> str:
    """One line: file, line, place, what was given, what is allowed.

    Args:
        model: what the data should have been.
        lines: of the places in the data.
        about: what stands before the place, such as the name of an object in the file.
    """
    errors = e.errors(include_url=False)
    error: Any = errors[0]
    known = _known(error["loc"], lines)
    shown = (*known, error["loc"][-1]) if error["type"] == "missing" else (known or error["loc"])
    where = f"{source}:{lines[known]}" if known in lines else source
    where = f"{where}: {about}{place(shown)}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key, allowed: {', '.join(_words_at(model, shown[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing, it must be given"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    branches = [one for one in errors if _known(one["loc"], lines) == known]
    allowed = " or ".join(dict.fromkeys(_allowed(one) for one in branches))
    return f"{where}: {short(repr(error['input']))} given, allowed: {allowed}"


def _known(loc: Place, lines: Lines) -> Place:
    """The place in the file: a union's branches ("Bfd", "bool") are pydantic's words, so skip them."""
    known: Place = ()
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


def _words_at(model: type[BaseModel], at: Place) -> list[str]:
    """The keys the schema of a model knows at a place."""
    schema = _schema(model)
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
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _deref(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    ref = node.get("$ref")
    return schema["$defs"][ref.rsplit("/", 1)[1]] if ref else node
