"""Commands that need no lab: what they print for programs, and what they write."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from closet.cli.group import cli

TENANTS = (
    "name: t\nleaves: 1\nhosts: {per_leaf: 3}\n"
    "tenants: {red: {subnets: {c: {hosts: [h1-1]}, a: {hosts: [h1-2]}}, isolated: true, permit: [[c, a]]}}\n"
)


def closet(*words: object) -> str:
    done = CliRunner().invoke(cli, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def files_in(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_plan_for_programs_holds_nothing_of_pythons(tmp_path):
    (tmp_path / "t.yaml").write_text(TENANTS)
    text = closet("plan", tmp_path / "t.yaml", "--json")
    assert json.loads(text)["tenants"][0]["permit"] == [["a", "c"]]
    assert "frozenset" not in text


def test_lists_of_checks_and_attacks_are_for_programs_too():
    for what in ("check", "attack"):
        listed = json.loads(closet(what, "--list", "--json"))
        assert all(each[what] and each["claim"] for each in listed)
        assert listed[0][what] in closet(what, "--list")


def test_a_second_render_removes_what_the_first_wrote_and_nothing_else(tmp_path):
    intent, out = tmp_path / "t.yaml", tmp_path / "out"
    intent.write_text("name: one\nleaves: 2\n")
    closet("render", intent, "-o", out)
    for name in (".git/HEAD", "notes", "leaf2/notes"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("by hand")
    before = files_in(out)
    assert {"one.clab.yml", "leaf1/frr.conf", "leaf2/frr.conf", "h2-1/frr.conf"} < before
    intent.write_text("name: two\nleaves: 1\n")
    said = closet("render", intent, "-o", out)
    after = files_in(out)
    assert {".git/HEAD", "notes", "leaf2/notes", "two.clab.yml", "leaf1/frr.conf"} < after
    assert not after & {"one.clab.yml", "leaf2/frr.conf", "h2-1/frr.conf"}
    assert not (out / "h2-1").exists()
    assert said == f"{out}: {len(after) - 4} files of 5 devices\n"


def test_a_list_of_what_was_rendered_leads_nowhere_else(tmp_path):
    intent, out, other = tmp_path / "t.yaml", tmp_path / "out", tmp_path / "other"
    intent.write_text("name: one\nleaves: 1\n")
    other.write_text("mine")
    out.mkdir()
    (out / ".closet-render").write_text(f"../other\n{other}\n")
    closet("render", intent, "-o", out)
    assert other.read_text() == "mine"


def test_a_folder_of_others_is_refused(tmp_path):
    (tmp_path / "t.yaml").write_text("name: one\nleaves: 1\n")
    done = CliRunner().invoke(cli, ["render", str(tmp_path / "t.yaml"), "-o", str(tmp_path)])
    assert str(done.exception) == f"{tmp_path}: exists and is not an earlier render, allowed: a new or empty folder"
