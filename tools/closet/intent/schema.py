"""The words of an intent as a JSON Schema: what editors complete from, and what the reference is made of."""

from __future__ import annotations

from typing import Any

from closet.intent.model import Intent


def intent_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an intent."""
    made = Intent.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "closet intent"}
