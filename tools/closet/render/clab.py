"""`Fabric` → a containerlab topology, for containerlab itself and all that reads its files.

One text serves both who deploys by hand and closet. A node's first process starts the daemons itself, as Debian
does, unless it finds a script that takes over: closet lays one beside the configuration, and then starts the
daemons in its own, faster order. (An `exec:` line instead would cost each node a tenth of a second, and
`--skip-post-deploy` runs it all the same.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from closet.plan import Fabric, Role
from closet.plan.fabric import TIER
from closet.render.environment import TEMPLATES
from closet.render.host import sysctls

FILE = "topology.clab.yml"
"""What a topology file is called: containerlab's editor extension goes by the ending."""

FILES = {"nodes/{node}/frr": "/etc/frr", "nodes/{node}/log": "/var/log/frr"}
"""Folders of a node, relative to the topology file → where the node has them."""

TAKEOVER = "/etc/frr/boot.sh"
"""A node that finds this script when it starts leaves everything to it."""

# The kernel settings come once more, in their order: the engine sets them in any, and a host that stops forwarding
# accepts redirects again (inet_forward_change in Linux net/ipv4/devinet.c).
# containerlab lays the cables after a node has begun, and zebra may die if one moves in while it starts. `$$` is
# containerlab's way to write `$`; it sets CLAB_INTFS itself.
START = (
    "sysctl -qp /etc/frr/sysctl.conf;"
    f" [ ! -e {TAKEOVER} ] || . {TAKEOVER};"
    " until [ $$(ip -o link show up type veth | wc -l) -ge $$CLAB_INTFS ]; do sleep 0.1; done;"
    " [ ! -e /etc/frr/nftables.conf ] || nft -f /etc/frr/nftables.conf;"
    " [ ! -e /etc/frr/vrfs.sh ] || sh /etc/frr/vrfs.sh;"
    " /usr/lib/frr/frrinit.sh start;"
    " exec /usr/bin/tini -- sleep infinity"
)

GROUP = {Role.HOST: "server"}
"""Role → the word containerlab's graph sorts by, where that is another one."""

_NOT_NAMES = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What could be a name, but YAML 1.1 takes for something else."""

Settings = dict[str, int]


@dataclass(frozen=True, slots=True)
class _Tier:
    """The nodes of one role: name → the kernel settings no other has; `shared` is what only this role has."""

    role: Role
    group: str
    level: int
    icon: str
    shared: Settings
    nodes: dict[str, Settings]


def clab_topology(fabric: Fabric, *, lab_id: str, image: str, files: Mapping[str, str] = FILES) -> str:
    """The topology file of a fabric.

    Args:
        lab_id: name of the lab, unique on the machine; containers are called `<lab_id>-<node>`.
        image: the node image; it is never pulled.
        files: folder relative to the topology file, with `{node}` for the node → where the node has it.
    """
    shared = _shared(sysctls(n) for n in fabric)
    ends = [[(link.a, link.a_port), (link.b, link.b_port)] for link in fabric.links]
    return TEMPLATES.get_template("clab.yml.j2").render(
        file=FILE,
        lab_id=lab_id,
        image=image,
        cmd=json.dumps(f"/bin/sh -c '{START}'"),
        binds=[(here.replace("{node}", "__clabNodeName__"), there) for here, there in files.items()],
        shared=shared,
        tiers=list(_tiers(fabric, shared)),
        links=[
            {
                "mtu": fabric[both[0][0]].port(both[0][1]).mtu,
                "ends": [{"node": _name(n), "name": p, "mac": fabric[n].port(p).mac} for n, p in both],
            }
            for both in ends
        ],
    )


def _tiers(fabric: Fabric, everywhere: Settings) -> Iterator[_Tier]:
    for role in Role:
        nodes = {_name(n.name): _less(sysctls(n), everywhere) for n in fabric.role(role)}
        if nodes:
            shared = _shared(nodes.values())
            yield _Tier(
                role=role,
                group=GROUP.get(role, role),
                level=1 + TIER[fabric.top] - TIER[role],
                icon="host" if role is Role.HOST else "switch",
                shared=shared,
                nodes={name: _less(settings, shared) for name, settings in nodes.items()},
            )


def _shared(many: Iterable[Settings]) -> Settings:
    """What all of them have."""
    first, *others = many
    return {k: v for k, v in first.items() if all(s.get(k) == v for s in others)}


def _less(settings: Settings, known: Settings) -> Settings:
    return {k: v for k, v in settings.items() if k not in known}


def _name(text: str) -> str:
    """A name as YAML reads it back."""
    return json.dumps(text) if text in _NOT_NAMES else text
