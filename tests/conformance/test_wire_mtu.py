"""Path MTU where it is tight: with VXLAN's 50 bytes full packets just fit the links, or senders are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from closet.errors import ProbeError
from closet.intent import Intent
from closet.lab import Lab, up
from closet.plan.fabric import VXLAN_OVERHEAD
from closet.roce.work import Verb
from closet.takedown import down

from .watching import Watch, in_a_tenant

TIGHT = 4096 + 80 + VXLAN_OVERHEAD
"""The least MTU of links with path MTU 4096 in a tenant (rxe_param.h: 80 bytes for headers)."""


@contextmanager
def tenants_host(runtime: str, mtu: int, folder: Path) -> Iterator[Watch]:
    """Two hosts of a tenant, with a leaf, a spine and a leaf between them."""
    words = {"spines": 1, "leaves": 2, "hosts": {"per_leaf": 1}, "links": {"mtu": mtu}}
    tenants = {"red": {"hosts": ["h*"], "prefix": "10.64.0.0/16"}}
    intent = Intent.model_validate({"name": f"mtu-{mtu}-{os.getpid()}", **words, "tenants": tenants})
    made: Lab = up(intent, runtime=runtime)
    try:
        assert [str(f) for r in made.results for f in r.findings] == []
        found = in_a_tenant(made, folder)
        assert found is not None
        yield found
    finally:
        down(made.name)


@pytest.mark.parametrize(("mtu", "payload"), [(TIGHT, 4096), (TIGHT - 1, 2048)])
def test_full_packets_fit_with_vxlan(pytestconfig: pytest.Config, tmp_path: Path, mtu: int, payload: int) -> None:
    with tenants_host(pytestconfig.getoption("--closet-runtime"), mtu, tmp_path) as here:
        seen = here.see(verb=Verb.WRITE)
        assert seen.job.attributes.mtu == payload
        assert [str(f) for f in here.findings(seen)] == []
        wrapped = max(len(s.outer) + 14 + len(s.packet) for s in seen.sightings if s.outer)
        assert mtu - 40 < wrapped <= mtu or payload < 4096


def test_an_underlay_without_room_for_vxlan(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Links as small as the hosts': small packets pass; of full ones the leaf says that they do not, and so do we."""
    with tenants_host(pytestconfig.getoption("--closet-runtime"), TIGHT, tmp_path) as here:
        lab, (leaf, _) = here.lab, here.leaf(here.source)
        ports = [(leaf, p.name, p.peer, p.peer_port) for p in lab.fabric.uplinks(lab.fabric[leaf])]
        with ExitStack() as stack:
            for node, port in [end for a, b, c, d in ports for end in ((a, b), (c, d))]:
                lab[node].run("ip", "link", "set", port, "mtu", str(TIGHT - VXLAN_OVERHEAD))
                stack.callback(lab[node].run, "ip", "link", "set", port, "mtu", str(TIGHT))
            small = here.see(verb=Verb.WRITE, size=64, seconds=3.0)
            assert small.result.complete
            with pytest.raises(ProbeError, match="a link's IP MTU is less than 4156 bytes"):
                here.see(verb=Verb.WRITE, seconds=3.0)
