"""Every registered check holds: the same ones `closet check` runs."""

from __future__ import annotations

import pytest

from closet.check import CHECKS
from closet.lab import Lab
from closet.suite import run_one


@pytest.mark.parametrize("name", list(CHECKS))
def test_check(lab: Lab, name: str) -> None:
    result = run_one(lab.fabric, lab.nodes, CHECKS[name])
    assert not result.error
    assert [str(f) for f in result.findings] == []
    # Only a fabric without any choice of paths has no set to spread over, and not every one has tenants or RDMA.
    assert result.claims > 0 or name in {"spread", "evpn", "vnis", "matrix", "verbs"}
