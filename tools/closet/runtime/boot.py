"""From nodes that exist to daemons that run, in the order that is fastest.

Daemons start phase by phase, as many at once as there are cores; links rise only then (`cables`), so no daemon
sees a neighbour come and go.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping

from closet.errors import RuntimeFault
from closet.plan import Fabric, Node
from closet.render.vrf import NETNS_OPTION, SCRIPT, takes_vrfs
from closet.runtime.node import LiveNode
from closet.runtime.protocol import Started

FRR = "/usr/lib/frr"
OPTIONS = "-d -P 0 --log file:/var/log/frr/frr.log"
"""Of every daemon."""


def phases(fabric: Fabric, node: Node) -> list[str]:
    """The shell lines that start a node's daemons, one a phase.

    mgmtd first: zebra retries 100 times a second without it, and it is mgmtd that reads interface addresses
    (from zebra.conf). VRFs before all of them: what zebra finds when it starts, it is sure about.
    """
    filters = "nft -f /etc/frr/nftables.conf && " if not node.is_host else ""
    if takes_vrfs(node):
        filters += f"sh /etc/frr/{SCRIPT} && "
    mgmtd, *others = daemon_lines(fabric, node)
    return [filters + mgmtd, *others]


def daemon_lines(fabric: Fabric, node: Node) -> list[str]:
    """The shell lines that start a node's daemons, without what must be there before them."""
    options = f"{OPTIONS} $({NETNS_OPTION})" if takes_vrfs(node) else OPTIONS
    mgmtd, zebra, bgpd = common_daemons(options)
    return [mgmtd, zebra, " && ".join([bgpd, *other_daemons(fabric, options)])]


def common_daemons(options: str = OPTIONS) -> list[str]:
    """The shell lines that start what every node has: mgmtd, zebra, bgpd."""
    return [
        f"{FRR}/mgmtd {options}",
        f"{FRR}/zebra {options} -s 90000000 -f /etc/frr/zebra.conf",
        f"{FRR}/bgpd {options} -f /etc/frr/bgpd.conf",
    ]


def other_daemons(fabric: Fabric, options: str = OPTIONS) -> list[str]:
    """The shell lines that start what only some have: bfdd, staticd."""
    static = f"{{ [ ! -e /etc/frr/staticd.conf ] || {FRR}/staticd {options} -F datacenter; }}"
    return [*([f"{FRR}/bfdd {options} -f /etc/frr/bfdd.conf"] if fabric.bfd is not None else []), static]


def start_daemons(fabric: Fabric, started: Mapping[str, Started], nodes: Mapping[str, LiveNode]) -> None:
    """Start all daemons of all nodes, phase by phase, and wait for those that boot by themselves.

    Raises:
        RuntimeFault: a daemon did not start; names the node and the last line it said.
    """
    lines = {n.name: phases(fabric, n) for n in fabric if not nodes[n.name].boots_itself}
    for i in range(3):
        _run_everywhere({name: line[i] for name, line in lines.items()}, started, nodes)
    for channel in started.values():
        os.write(channel.stdin, b"idle\n")
        channel.close()
    for node in nodes.values():
        node.wait_ready()


def _run_everywhere(
    lines: Mapping[str, str],
    started: Mapping[str, Started],
    nodes: Mapping[str, LiveNode],
    seconds: float = 120.0,
) -> None:
    """Give each node its line, a core's worth at a time, and wait for all answers."""
    waiting = list(lines.items())[::-1]
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:

        def give() -> None:
            name, line = waiting.pop()
            os.write(started[name].stdin, line.encode() + b"\n")
            selector.register(started[name].stdout, selectors.EVENT_READ, name)

        for _ in range(min(len(waiting), os.cpu_count() or 1)):
            give()
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                late = ", ".join(sorted(k.data for k in selector.get_map().values()))
                raise RuntimeFault(f"{late}: no answer to a boot command in {seconds:g} s")
            for key, _ in ready:
                answer = os.read(key.fd, 64)
                if answer.strip() != b"0":
                    raise _failed(nodes[key.data], lines[key.data])
                selector.unregister(key.fd)
                if waiting:
                    give()


def _failed(node: LiveNode, line: str) -> RuntimeFault:
    said = (node.folder / "log" / "boot.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return RuntimeFault(
        f"{node.name}: {line.split(' && ')[-1].split()[0]} did not start: {said[-1] if said else 'it said nothing'}"
    )
