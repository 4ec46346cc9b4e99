"""Whatever stands in files of Hedgehog's objects: an intent comes out, or one `IntentError` in one line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hedgehog.objects import BASE, NET, attach, document, vpc

from closet.errors import IntentError
from closet.importer import convert, write
from closet.importer.hedgehog import KINDS
from closet.intent import loads
from closet.plan import plan

WORDS = sorted(
    {*KINDS, "List", "items", "apiVersion", "kind", "metadata", "name", "spec", "wiring.githedgehog.com/v1beta1"}
    | {k for model in KINDS.values() for f, i in model.model_fields.items() for k in (i.alias or f,)}
    | {"link", "links", "server", "switch", "port", "subnet", "l1/E1/1", "h1/p", "h1-l1", "l1", "s1", "default", "red"}
    | {"10.0.1.0/24", "l3vni", "spine", "server-leaf", "<<", "*", ""}
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | SCALARS, inner, max_size=5),
    max_leaves=16,
)
SPECS = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=5)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "f.yaml"


def _is_an_intent_or_one_line(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    for skip in (False, True):
        try:
            made = loads(write(convert([file], name="x", skip=skip)))
        except IntentError as e:
            assert len(str(e).splitlines()) == 1  # noqa: PT017
            assert len(str(e)) < 2000  # noqa: PT017
        else:
            with contextlib.suppress(IntentError):
                plan(made)


@given(st.text())
def test_any_text(file, text):
    _is_an_intent_or_one_line(file, text)


@given(st.lists(VALUES, max_size=3))
def test_any_documents(file, documents):
    _is_an_intent_or_one_line(file, yaml.safe_dump_all(documents))


@given(st.sampled_from(sorted(KINDS)), SPECS)
def test_any_spec(file, kind, words):
    documents = [*BASE, vpc("red", **NET), attach("a", "red", "h2-l1"), {**document(kind, "x"), "spec": words}]
    _is_an_intent_or_one_line(file, yaml.safe_dump_all(documents))


@given(st.sampled_from(range(len(BASE))), st.sampled_from(WORDS), VALUES, st.data())
def test_any_value_somewhere(file, which, key, value, data):
    """One key of one object, at any depth, says something else."""
    documents = yaml.safe_load_all(yaml.safe_dump_all([*BASE, vpc("red", **NET), attach("a", "red", "h2-l1")]))
    documents = list(documents)
    at = documents[which]
    while inner := [v for v in (at.values() if isinstance(at, dict) else at) if isinstance(v, dict | list) and v]:
        if data.draw(st.booleans()):
            break
        at = data.draw(st.sampled_from(inner))
    if isinstance(at, list):
        at.append(value)
    else:
        at[data.draw(st.sampled_from([key, *map(str, at)]))] = value
    _is_an_intent_or_one_line(file, yaml.safe_dump_all(documents))
