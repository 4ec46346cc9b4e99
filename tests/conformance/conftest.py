"""What only this suite needs beside the plugin: changes to a running fabric that are surely taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from closet.lab import Lab
from closet.records import Finding

from . import changes
from .lifecycle import Closet
from .shop import Shop

OWN_LABS = {
    *(
        "test_apply.py",
        "test_apply_failures.py",
        "test_contrast.py",
        "test_hardship.py",
        "test_interop.py",
        "test_lifecycle.py",
    ),
    *("test_microvms.py", "test_wire_mtu.py"),
}
"""Files whose tests bring up labs of their own: the lab at hand tells nothing of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name in OWN_LABS:
            item.add_marker(pytest.mark.own_labs)


@pytest.fixture(scope="session")
def clean(lab: Lab) -> None:
    """The lab is as planned when the first test comes to it; whoever changes it leaves it so (see `settled`)."""
    changes.wait_until_clean(lab)


@pytest.fixture
def settled(lab: Lab, clean: None) -> Iterator[None]:
    """For tests that change the fabric: afterwards it must be as it was, or the test is at fault."""
    yield
    changes.wait_until_clean(lab)


@pytest.fixture
def findings(lab: Lab) -> Callable[..., list[Finding]]:
    """`findings("fib", ...)`: what those checks find now; a check that could not look is a failure."""

    def run(*names: str) -> list[Finding]:
        results = lab.check(*names)
        assert not [r.error for r in results if r.error]
        return [f for r in results for f in r.findings]

    return run


@pytest.fixture
def closet(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Closet]:
    """The command, in a folder of its own; its labs are gone with the test."""
    made = Closet(tmp_path, pytestconfig.getoption("--closet-runtime"))
    yield made
    made.down()


@pytest.fixture(scope="session")
def fresh() -> dict[str, Any]:
    """Intent → what labs are like that came up with it (see `Shop.fresh`)."""
    return {}


@pytest.fixture
def shop(closet: Closet, fresh: dict[str, Any]) -> Shop:
    """A lab of tenants that is not up yet, and the command that changes it."""
    return Shop(closet, fresh)
