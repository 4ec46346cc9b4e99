"""Options that would only go wrong later are refused at once."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from closet.cli.group import cli


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
