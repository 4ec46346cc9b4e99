"""What is kept of a node after a failure: of every VRF, wherever the kernel has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from closet.intent import loads
from closet.plan import plan
from closet.runtime.node import LiveNode
from pytest_closet.evidence import commands


@pytest.mark.parametrize(("namespaces", "vrfs"), [(True, {"default", "red", "blue"}), (False, {"default"})])
def test_every_namespace_of_a_node_is_asked(monkeypatch: pytest.MonkeyPatch, namespaces: bool, vrfs: set[str]) -> None:
    fabric = plan(loads("name: x\nleaves: 2\ntenants: {red: {hosts: ['h?-1']}, blue: {hosts: [h1-2]}}\n"))
    monkeypatch.setattr(LiveNode, "has_namespace", lambda *_: namespaces)
    asked = list(commands(fabric, LiveNode(name="leaf1", pid=0, folder=Path())))
    files = [file for file, _, _ in asked]
    assert len(set(files)) == len(files)
    assert {vrf for _, vrf, command in asked if command[0] == "nft"} == vrfs
    assert {vrf for _, vrf, command in asked if command[:2] == ("ip", "route")} == vrfs
    vtysh = {command[2] for _, _, command in asked if command[0] == "vtysh"}
    assert {"show bgp vrf all summary", "show bgp l2vpn evpn", "show ip route vrf all", "show vrf vni"} <= vtysh
