"""Intents as files: what is read beside the text, and what is said when it cannot be."""

from __future__ import annotations

import pytest

from closet.errors import IntentError
from closet.intent import Intent, load, loads
from closet.plan import plan


def _refusal(path) -> str:
    with pytest.raises(IntentError) as caught:
        load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty, expected at least a name (see `closet schema`)"),
        (b"\x7fELF\x02\x01\x01\xff\xfe", "byte 7 is not UTF-8 text, expected an intent file"),
        (b"name: x\n" * (10 << 17), "more than 1048576 bytes, expected an intent file"),
    ],
    ids=["empty", "binary", "10 MB"],
)
def test_a_file_that_is_no_intent_is_named(tmp_path, content, why):
    path = tmp_path / "lab.yaml"
    path.write_bytes(content)
    assert _refusal(path) == f"{path}: {why}"


def test_a_path_that_is_no_file_is_named(tmp_path):
    assert _refusal(tmp_path) == f"{tmp_path}: Is a directory, expected an intent file"
    missing = tmp_path / "missing.yaml"
    assert _refusal(missing) == f"{missing}: No such file or directory, expected an intent file"


def test_errors_inside_name_the_file_and_the_line(tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text("name: x\nleaves: 2\nbgp:\n  bfd:\n    interval: 5\n")
    assert _refusal(path) == f"{path}:5: bgp.bfd.interval: 5 given, allowed: greater than or equal to 10"


def test_a_nodes_own_configuration_is_read_from_beside_the_intent(tmp_path):
    (tmp_path / "tor.conf").write_text("hostname tor\n! as it was bought\n")
    path = tmp_path / "lab.yaml"
    path.write_text("name: x\nleaves: 2\nnodes:\n  leaf1: {config: tor.conf}\n")
    assert load(path).nodes["leaf1"].config == "hostname tor\n! as it was bought\n"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("missing.conf", "'missing.conf': No such file or directory"),
        (".", "'.': Is a directory"),
        ("binary.conf", "'binary.conf': byte 0 is not UTF-8 text"),
        ('"a\\0b"', r"'a\x00b': embedded null byte"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named(tmp_path, given, why):
    (tmp_path / "binary.conf").write_bytes(b"\xff\xff")
    path = tmp_path / "lab.yaml"
    path.write_text(f"name: x\nleaves: 2\nnodes:\n  leaf1: {{config: {given}}}\n")
    assert _refusal(path) == f"{path}: nodes.leaf1.config: {why}, expected an frr.conf"


@pytest.mark.parametrize(
    "words",
    [
        "leaves: 2\nnodes: {'leaf*': {ecmp: {hash: l3}}, leaf1: {asn: 65001}, 'leaf?': {extra: 'a'}}\n",
        "wiring: {leaves: [a], hosts: [b], links: [[a, b]]}\nnodes: {'*': {ecmp: {seed: 1}}}\n",
        "leaves: 2\ntenants: {red: {hosts: [h1-1]}, blue: {hosts: [h2-1]}}\npeerings: [{from: red, to: blue}]\n",
    ],
)
def test_what_is_said_is_read_back(words):
    """As `closet up` writes it down: defaults that nobody gave would contradict a wiring, and one override another."""
    intent = loads(f"name: x\n{words}")
    again = Intent.model_validate_json(intent.said())
    assert plan(again) == plan(intent)
    assert again.said() == intent.said()
