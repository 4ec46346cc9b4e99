"""An intent file → `Intent`, or one line saying file, place, what was given and what is allowed."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.intent.say import say
from closet.intent.text import document, place, read


def load(path: Path) -> Intent:
    """Read and validate an intent file, with the `config` files it names.

    Raises:
        IntentError: it cannot be read, is no YAML, or says something that is not allowed.
    """
    try:
        text = read(path)
    except ValueError as e:
        raise IntentError(f"{path}: {e}, expected an intent file") from None
    return _with_configs(loads(text, str(path)), path)


def loads(text: str, source: str = "<intent>") -> Intent:
    """Validate the text of an intent; `source` is what errors call it. Reads no other file."""
    found = document(text, source)
    if found is None:
        raise IntentError(f"{source}: empty, expected at least a name (see `closet schema`)")
    if found.kind != "map":
        raise IntentError(f"{source}: a {found.kind}, expected a mapping of words (see `closet schema`)")
    try:
        return Intent.model_validate(found.data)
    except ValidationError as e:
        raise IntentError(say(Intent, e, source, found.lines)) from None


def _with_configs(intent: Intent, path: Path) -> Intent:
    """Replace the name of each node's own configuration file by its text: planning does no I/O."""
    nodes = dict(intent.nodes)
    for pattern, node in nodes.items():
        if node.config is None:
            continue
        try:
            nodes[pattern] = node.model_copy(update={"config": read(path.parent / node.config)})
        except ValueError as e:
            where = place(("nodes", pattern, "config"))
            raise IntentError(f"{path}: {where}: {node.config!r}: {e}, expected an frr.conf") from None
    return intent.model_copy(update={"nodes": nodes})
