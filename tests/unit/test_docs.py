"""docs/ is true: what is generated is current, what is an example runs, and what is named is there."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import types
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from closet.check import CHECKS
from closet.cli.design import schema as schema_command
from closet.intent import load
from closet.intent.schema import intent_schema
from closet.plan import plan
from closet.report.reference import BEGIN, COMMAND, check_reference, generated, intent_reference, main, with_generated

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall((DOCS / page).read_text()) if kind == language]


def files_of(page: str) -> dict[str, str]:
    """The blocks that are a file: those right after a line with its name."""
    return dict(re.findall(r"^`(\w+\.py)`[^\n]*\n\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("path", [p.name for p in generated(DOCS)])
def test_what_is_generated_is_current(path):
    current = (DOCS / path).exists() and (DOCS / path).read_text() == generated(DOCS)[DOCS / path]
    assert current, f"docs/{path} is not current: run `{COMMAND}`"


def test_the_command_writes_what_is_generated(tmp_path):
    for page in PAGES:
        before, begin, rest = page.read_text().partition(BEGIN)
        (tmp_path / page.name).write_text(before + begin + rest.replace("| `", "| ", 1))
    assert main([str(tmp_path)]) == 0
    assert {p.name: p.read_text() for p in generated(tmp_path)} == {p.name: t for p, t in generated(DOCS).items()}
    assert main([]) == 2


def test_a_page_without_a_place_for_it_is_refused():
    with pytest.raises(ValueError, match="no place for what is generated"):
        with_generated("# Intents\n", "...")


def test_the_schema_is_what_the_command_prints():
    assert CliRunner().invoke(schema_command).output == (DOCS / "intent.schema.json").read_text()
    assert intent_schema()["title"] == "closet intent"


def test_every_word_is_in_the_reference_with_a_meaning():
    schema = intent_schema()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in intent_reference(schema).splitlines() if line[:3] == "| `"]
    keys = [key for node in (schema, *schema["$defs"].values()) for key in node.get("properties", {})]
    assert sorted(row[0].strip() for row in rows) == sorted(f"`{key}`" for key in keys)
    for key, kind, default, meaning in rows:
        assert kind.strip() not in {"", "anything"}, key
        assert default.strip(), key
        assert meaning.strip(), key


def test_a_schema_of_anything_that_may_come():
    schema = {
        "description": "All\nof it.\n\nMore.",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "pattern": "^(x|y)$", "maxLength": 3, "description": "A word."},
            "b": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "boolean"}, {"type": "null"}], "default": None},
            "c": {"type": "array", "items": {"$ref": "#/$defs/B"}, "default": []},
            "d": {"$ref": "#/$defs/B", "default": {"x": 2, "y": [True]}},
            "e": {"additionalProperties": {"$ref": "#/$defs/B"}, "type": "object", "default": {}},
            "f": {"type": "integer", "minimum": 1, "default": 0},
        },
        "$defs": {"B": {"description": "A thing.", "properties": {"x": {"enum": [1, 2], "default": 1}, "y": {}}}},
    }
    anchor = "#b-c-d-ename"
    assert intent_reference(schema).splitlines() == [
        "### Top level",
        "",
        "All of it.",
        "",
        "More.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
        r"| `a` | text, at most 3 characters, like `^(x\|y)$` | must be given | A word. |",
        f"| `b` | [mapping]({anchor}) or true or false | none |  |",
        f"| `c` | list of [mapping]({anchor}) | `[]` |  |",
        f"| `d` | [mapping]({anchor}) | `{{x: 2, y: [true]}}` | A thing. |",
        f"| `e` | mapping of names to [mapping]({anchor}) | none |  |",
        "| `f` | whole number, at least 1 | `0` |  |",
        "",
        "### `b`, `c[]`, `d`, `e.<name>`",
        "",
        "A thing.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
        "| `x` | `1` or `2` | `1` |  |",
        "| `y` | anything | none |  |",
    ]


def test_every_check_is_in_the_table():
    table = check_reference(CHECKS.values())
    assert [line.split("`")[1] for line in table.splitlines()[2:]] == list(CHECKS)
    assert all(check.claim in table for check in CHECKS.values())


@pytest.mark.parametrize("text", blocks("intent.md", "yaml"))
def test_an_intent_of_the_page_becomes_what_its_first_line_says(text, tmp_path):
    (tmp_path / "spine2.conf").write_text("hostname spine2\n")
    (tmp_path / "intent.yaml").write_text(text)
    fabric = plan(load(tmp_path / "intent.yaml"))
    assert f"# {fabric.summary()}" == text.splitlines()[0]


def test_the_check_of_the_page_works(monkeypatch):
    """Its three files: the check is registered, its tests pass, and the tests that need a lab are sound Python."""
    monkeypatch.setattr("closet.check.registry.CHECKS", {})
    files = files_of((DOCS / "checks.md").read_text())
    assert set(files) == {"steady.py", "test_steady.py", "test_fabric.py"}
    modules = {}
    for name in ("steady.py", "test_steady.py", "test_fabric.py"):
        module = modules[name] = types.ModuleType(name.removesuffix(".py"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(files[name], name, "exec"), module.__dict__)
    tests = [t for word, t in vars(modules["test_steady.py"]).items() if word.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()
    assert modules["steady.py"].steady.name == "steady"
    assert "steady" not in CHECKS


def test_the_check_of_the_page_takes_a_real_answer(monkeypatch, recorded):
    monkeypatch.setattr("closet.check.registry.CHECKS", {})
    steady = types.ModuleType("steady")
    monkeypatch.setitem(sys.modules, "steady", steady)
    exec(files_of((DOCS / "checks.md").read_text())["steady.py"], steady.__dict__)
    for name, found in (("clean", []), ("bgpd-dead", ["1 established, 1 lost"])):
        fabric, answers = recorded(name)
        observed = steady.parse(answers["bgpd: show bgp ipv4 unicast summary json"])
        findings = steady.steady.judge("leaf1", steady.expect(fabric)["leaf1"], observed)
        assert [f.observed for f in findings] == found


def test_the_layers_of_the_page_are_those_that_are_held():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    assert "\n".join(f"    {layer}" for layer in layers) in (DOCS / "architecture.md").read_text()


def test_every_part_has_its_place_in_the_architecture():
    parts = {p.stem for p in (ROOT / "tools" / "closet").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    table = "\n".join(re.findall(r"^\| `.*?\|", (DOCS / "architecture.md").read_text(), re.MULTILINE))
    assert parts - {"__init__", "__main__"} == set(re.findall(r"`(\w+)`", table))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / target).exists(), target
    for path in re.findall(r"`((?:tools|tests|labs|fixtures|topologies|docs)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"`((?:closet|pytest_closet)(?:\.\w+)+)`", text):
        assert find_spec(module), module
    for part in re.findall(r"`(\w+/\w+\.py)`", text):
        assert (ROOT / "tools" / "closet" / part).exists() or (ROOT / part).exists(), part


def test_pages_do_not_outgrow_a_reader():
    assert len((DOCS / "architecture.md").read_text().splitlines()) <= 200
    assert json.loads((DOCS / "intent.schema.json").read_text())["required"] == ["name"]


def modules(part: str) -> set[str]:
    return {p.stem for p in (ROOT / "tools" / "closet" / part).glob("*.py") if not p.stem.startswith("__")}


def test_where_the_endpoint_is_told_each_of_its_modules_is_named():
    import closet.roce

    assert set(re.findall(r"`(\w+)`", closet.roce.__doc__ or "")) == modules("roce")


def test_where_traffic_is_told_each_of_its_modules_is_named():
    (row,) = (line for line in (DOCS / "architecture.md").read_text().splitlines() if line.startswith("| `traffic` |"))
    assert set(re.findall(r"`(\w+)`", row)) == {"traffic", *modules("traffic")}
