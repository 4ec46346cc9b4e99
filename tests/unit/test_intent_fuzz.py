"""Whatever text comes in, an intent comes out or one `IntentError` in one line; and what is written is read back."""

from __future__ import annotations

import contextlib

import yaml
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.errors import IntentError
from closet.intent import Intent, loads
from closet.plan import plan

WORDS = [*Intent.model_fields, "per_leaf", "per_group", "bfd", "interval", "loopback", "<<", "=", "leaf1", "*", ""]
PIECES = [*WORDS, ": ", ":", "\n", "\n  ", "- ", "? ", "&a ", "*a", "{", "}", "[", "]", ",", "'", '"', "\\", "|\n", "#"]
PIECES += [
    "!!int ",
    "!!bool ",
    "!!timestamp ",
    "!!set ",
    "!!omap ",
    "!!binary ",
    "!x ",
    "%YAML 1.3\n",
    "---\n",
    "...\n",
]
PIECES += ["0", "2", "-1", "1e3", ".nan", "0x", "1:9:", "2001-99-99", "~", "true", "10.0.0.0/8", "\0", "\t", "\ufeff"]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | SCALARS, inner, max_size=4),
    max_leaves=12,
)


def _is_an_intent_or_one_line(text: str) -> None:
    try:
        intent = loads(text, "f")
    except IntentError as e:
        assert str(e).startswith("f:")  # noqa: PT017
        assert len(str(e).splitlines()) == 1  # noqa: PT017
        assert len(str(e)) < 2000  # noqa: PT017
    else:
        with contextlib.suppress(IntentError):
            plan(intent)


@given(st.text())
def test_any_text(text):
    _is_an_intent_or_one_line(text)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_pieces_of_yaml(text):
    _is_an_intent_or_one_line(text)


@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6))
def test_any_values_at_words_that_exist(data):
    _is_an_intent_or_one_line(yaml.safe_dump({"name": "x", "leaves": 2, **data}))


@given(st.sampled_from(["hosts", "links", "bgp", "ecmp", "pools", "nodes"]), VALUES, VALUES)
def test_any_values_further_in(word, inner, innermost):
    _is_an_intent_or_one_line(yaml.safe_dump({"name": "x", "leaves": 2, word: {"bfd": inner, "leaf1": innermost}}))


@given(intent=infer)
def test_what_is_written_as_yaml_is_read_back(intent: Intent):
    assert loads(yaml.safe_dump(intent.model_dump(mode="json", exclude_defaults=True))) == intent
