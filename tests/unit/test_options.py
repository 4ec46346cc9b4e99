"""Options that would only go wrong later are refused at once, and how `closet test` ends."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from closet.cli.group import cli
from closet.runtime.state import NAME
from pytest_closet.plugin import lab_name


@pytest.mark.parametrize("option", ["--seconds", "--rate"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "1e300", "x"])
def test_numbers_are_numbers(option, value):
    said = CliRunner().invoke(cli, ["rdma", "h1", "h2", option, value])
    assert said.exit_code == 2
    assert f"Invalid value for '{option}'" in said.output


@pytest.mark.parametrize(
    ("words", "option"),
    [(["check"], "--html"), (["check"], "--junit"), (["attack"], "--junit"), (["wire", "a", "b"], "--svg")],
)
def test_what_cannot_be_written_is_said_before_the_work(tmp_path, words, option):
    (tmp_path / "file").touch()
    for path, why in (("no/x", "there is no folder"), ("file/x", "there is no folder"), (".", "is a directory")):
        said = CliRunner().invoke(cli, [*words, option, str(tmp_path / path)])
        assert said.exit_code == 2
        assert f"Invalid value for '{option}'" in said.output
        assert why in said.output


@pytest.mark.parametrize(
    "words", [["--lab", "a", "--intent", "b"], ["--own-labs", "--lab", "a"], ["--own-labs", "--intent", "b"]]
)
def test_two_ways_to_say_which_lab_to_test_are_refused(words):
    given = [w for w in ("--lab", "--intent", "--own-labs") if w in words]
    done = CliRunner().invoke(cli, ["test", *words])
    assert str(done.exception) == f"{' and '.join(given)} given, allowed: one of them"
    assert done.exception.exit_code == 2


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        (None, 2, "No such file or directory, expected an intent file"),
        ("name: x\nleafs: 2\n", 2, "leafs: unknown key"),
        ("name: x\nleaves: 2\nlinks: {ports: FortyGigabitEth}\n", 2, "links.ports: 'FortyGigabitEth' makes"),
    ],
)
def test_a_bad_intent_ends_the_suite_as_it_ends_any_command(tmp_path, monkeypatch, capfd, text, code, why):
    (tmp_path / "test_it.py").write_text("def test_it(lab): pass\n")
    monkeypatch.setattr("closet.paths.conformance", lambda: tmp_path / "test_it.py")
    monkeypatch.setenv("CLOSET_HOME", str(tmp_path / "labs"))
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "x.yaml").write_text(text)
    assert CliRunner().invoke(cli, ["test", "--intent", "x.yaml"]).exit_code == code
    assert why in capfd.readouterr().out


@pytest.mark.parametrize("pid", [7, 32768, 4194304])
def test_a_lab_for_tests_has_a_name_a_lab_can_have(monkeypatch, pid):
    monkeypatch.setattr("os.getpid", lambda: pid)
    for fabric in ("x", "a-fabric-with-a-name-as-long-as-i"):
        name = lab_name(fabric[:32])
        assert NAME.fullmatch(name)
        assert name.endswith(f"-test-{pid}")
