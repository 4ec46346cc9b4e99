"""The words of an intent as a JSON Schema: what editors complete from, and what the reference is made of."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from closet.intent.model import Intent
from closet.intent.words import Words


def intent_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an intent."""
    for words in _all_below(Words):
        for name, text in _docstrings(words).items():
            words.model_fields[name].description = text
        words.model_rebuild(force=True)
    made = Intent.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "closet intent"}


def _all_below(model: type[Words]) -> Iterator[type[Words]]:
    for words in model.__subclasses__():
        yield from _all_below(words)
        yield words


def _docstrings(words: type[Words]) -> dict[str, str]:
    """What the source says below each key. Here, not by pydantic, which would read the source at every start."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(words))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101  the source of a class
    found = {}
    for key, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr):
            match text.value:
                case ast.Constant(str() as said):
                    found[key.target.id] = inspect.cleandoc(said)
    return found
