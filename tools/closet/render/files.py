"""All files of a node. They are what a real switch of that design would get, one folder a device."""

from __future__ import annotations

from collections.abc import Iterator

from closet.plan import Fabric, Node
from closet.render.frr import frr_conf
from closet.render.host import nftables_conf, sysctl_conf
from closet.render.split import split
from closet.render.vrf import NETNS_OPTION, takes_vrfs, vrf_files

Files = dict[str, str]
"""File name → text."""


def render(fabric: Fabric) -> Iterator[tuple[Node, Files]]:
    """The files of every node, in order."""
    for node in fabric:
        yield node, render_node(fabric, node)


def render_node(fabric: Fabric, node: Node) -> Files:
    """The files of one node: FRR's, the kernel settings and, on a switch, the filter and the VRFs."""
    conf = frr_conf(fabric, node) if node.config is None else node.config
    files = {
        "frr.conf": conf,
        "zebra.conf": "",
        "bgpd.conf": "",
        **split(conf),
        "vtysh.conf": "service integrated-vtysh-config\n",
        "daemons": daemons(fabric, node),
        "sysctl.conf": sysctl_conf(node),
    }
    if not node.is_host:
        files["nftables.conf"] = nftables_conf(fabric, node)
        files |= vrf_files(fabric, node)
    return files


def daemons(fabric: Fabric, node: Node) -> str:
    """FRR's `daemons` file: which run, beside zebra, mgmtd and staticd, which always do."""
    wanted = {"bgpd": True, "bfdd": fabric.bfd is not None}
    lines = [f"{name}={'yes' if on else 'no'}" for name, on in wanted.items()]
    if takes_vrfs(node):
        lines.append(f'frr_global_options="$({NETNS_OPTION})"')
    return "\n".join([*lines, "vtysh_enable=yes", 'zebra_options="-A 127.0.0.1 -s 90000000"', ""])
