"""`Fabric` → a containerlab topology: the same nodes, links and files for containerlab and all that reads its files.

A node's first process starts the daemons itself, the way Debian does, unless the runtime has put a script of its
own into the log folder. So one text serves both: `containerlab deploy` by hand gives a running fabric, and closet
starts the daemons in its own, faster order. (An `exec:` line would cost each node a tenth of a second and cannot
be left out: `--skip-post-deploy` runs it all the same.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from closet.plan import Fabric, Node, Role
from closet.plan.fabric import TIER
from closet.render.host import TEMPLATES, sysctls

FILE = "topology.clab.yml"
"""What a topology is called, so that containerlab's editor extension finds it."""

FILES = {"nodes/{node}/frr": "/etc/frr", "nodes/{node}/log": "/var/log/frr"}
"""Folders of a node, relative to the topology file → where the node has them."""

TAKEOVER = "/var/log/frr/boot.sh"
"""If a node finds this script at its start, the script decides what runs there, and ends as the first process."""

CMD = (
    f"/bin/sh -c '[ ! -e {TAKEOVER} ] || . {TAKEOVER};"
    " [ ! -e /etc/frr/nftables.conf ] || nft -f /etc/frr/nftables.conf;"
    " /usr/lib/frr/frrinit.sh start;"
    " exec /usr/bin/tini -- sleep infinity'"
)

GROUP = {Role.HOST: "server"}
"""Role → the group containerlab's graph knows it by, where that is another word."""

_NOT_NAMES = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Names that YAML 1.1 would take for something else."""

_TEMPLATE = "clab.yml.j2"


@dataclass(slots=True)
class _Tier:
    """All nodes of one role, with the kernel settings they share."""

    group: str
    level: int
    icon: str
    sysctls: list[tuple[str, int]]
    nodes: list[dict[str, Any]]


def clab_topology(fabric: Fabric, *, lab_id: str, image: str, files: Mapping[str, str] = FILES) -> str:
    """The topology file of a fabric.

    Args:
        lab_id: name of the lab, unique on the machine; containers are called `<lab_id>-<node>`.
        image: the node image; it is never pulled.
        files: folder relative to the topology file, `{node}` in it the node → where the node has it.
    """
    binds = [(here.replace("{node}", "__clabNodeName__"), there) for here, there in files.items()]
    return TEMPLATES.get_template(_TEMPLATE).render(
        file=FILE,
        lab_id=lab_id,
        image=_yaml(image),
        cmd=json.dumps(CMD),
        files=binds,
        tiers=list(_tiers(fabric)),
        links=[
            {"mtu": fabric.mtu, "ends": [_end(fabric, link.a, link.a_port), _end(fabric, link.b, link.b_port)]}
            for link in fabric.links
        ],
    )


def _tiers(fabric: Fabric) -> Iterator[_Tier]:
    for role in Role:
        nodes = fabric.role(role)
        if not nodes:
            continue
        settings = {n.name: sysctls(n) for n in nodes}
        first = settings[nodes[0].name]
        shared = {k: v for k, v in first.items() if all(s.get(k) == v for s in settings.values())}
        yield _Tier(
            group=GROUP.get(role, role),
            level=TIER[fabric.top] - TIER[role] + 1,
            icon="host" if role is Role.HOST else "switch",
            sysctls=list(shared.items()),
            nodes=[_node(n, {k: v for k, v in settings[n.name].items() if k not in shared}) for n in nodes],
        )


def _node(node: Node, own: dict[str, int]) -> dict[str, Any]:
    return {"name": _yaml(node.name), "role": node.role, "sysctls": list(own.items())}


def _end(fabric: Fabric, node: str, port: str) -> dict[str, str]:
    return {"node": _yaml(node), "name": port, "mac": fabric[node].port(port).mac}


def _yaml(text: str) -> str:
    """A string as a YAML scalar that is read back as that string."""
    return json.dumps(text) if text in _NOT_NAMES or ":" in text else text
