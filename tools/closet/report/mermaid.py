"""`Fabric` → Mermaid flowchart: the picture a README can hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from closet.plan.fabric import Fabric, Node, Role
from closet.report.layout import Pod, pods, rails
from closet.report.svg import LIGHT, rail_class, tenant_classes

HOSTS = 16
"""Hosts drawn one by one; above, those on the same leaves are one box."""
EDGES = 400
"""Edges drawn one by one: Mermaid refuses more than 500 (its maxEdges)."""
COLOURS = LIGHT["links"].split()


@dataclass
class _Chart:
    """Lines so far, and where each node went."""

    lines: list[str] = field(default_factory=list)
    id_of: dict[str, str] = field(default_factory=dict)
    parent: dict[str, str] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    def start(self, name: str, label: str) -> None:
        """Open a subgraph."""
        self._say(f'subgraph {name}["{label}"]')
        self.open.append(name)
        self.frames.append(name)
        self._say("direction TB")

    def close(self) -> None:
        """End the subgraph opened last."""
        self.open.pop()
        self._say("end")

    def add(self, name: str, label: str, nodes: Sequence[Node]) -> None:
        """One box for these nodes."""
        self._say(f'{name}["{label}"]:::{nodes[0].role}')
        for node in nodes:
            self.id_of[node.name] = name
        self.parent[name] = self.open[-1]

    def _say(self, line: str) -> None:
        self.lines.append("  " * (len(self.open) + 1) + line)


def mermaid(fabric: Fabric) -> str:
    """A Mermaid flowchart of the fabric, to stand in a ```` ```mermaid ```` block.

    More than 16 hosts are drawn as one box for those on the same leaves; beyond what Mermaid draws, links between
    switches are drawn as one edge between their tiers, with their number. Every switch is in it, so some hundreds
    are too many for a README: Mermaid takes 50,000 characters.
    """
    chart = _Chart()
    if top := fabric.role(Role.SUPERSPINE):
        _nodes(chart, "Superspines", "superspines", top)
    for pod in reversed(pods(fabric)):  # Mermaid puts the subgraph given last first
        _pod(chart, pod, alone=len(fabric.hosts) <= HOSTS)
    frames = f"  class {','.join(chart.frames)} frame"
    title = f"---\ntitle: {json.dumps(fabric.name)}\n---"
    return "\n".join([title, "graph TB", *_classes(), *chart.lines, *_edges(fabric, chart), frames]) + "\n"


def _classes() -> Iterator[str]:
    """A class a role; frames are clear, so that they suit light pages and dark ones."""
    for role in Role:
        fill, stroke, ink = LIGHT[role].split()
        yield f"  classDef {role} fill:{fill},stroke:{stroke},color:{ink}"
    yield "  classDef frame fill:transparent,stroke:#94a3b8,color:#64748b"


def _pod(chart: _Chart, pod: Pod, *, alone: bool) -> None:
    mark = f"P{pod.number}" if pod.number else ""
    if mark:
        chart.start(mark, f"pod {pod.number}")
    if pod.spines:
        _nodes(chart, f"{mark}Spines", "spines", pod.spines)
    single = [g for g in pod.groups if len(g.leaves) == 1]
    if single:
        _nodes(chart, f"{mark}Leaves", "leaves", [g.leaves[0] for g in single])
        with_hosts = [g for g in single if g.hosts]
        if with_hosts:
            chart.start(f"{mark}Hosts", "hosts")
            for group in with_hosts:
                _hosts(chart, f"{mark}H{group.number}", group.hosts, alone=alone)
            chart.close()
    for group in reversed(pod.groups):
        if len(group.leaves) > 1:
            chart.start(f"{mark}G{group.number}", f"group {group.number}")
            for leaf in group.leaves:
                chart.add(_id(leaf), _label(leaf), [leaf])
            _hosts(chart, f"{mark}H{group.number}", group.hosts, alone=alone)
            chart.close()
    if mark:
        chart.close()


def _nodes(chart: _Chart, name: str, label: str, nodes: Sequence[Node]) -> None:
    chart.start(name, label)
    for node in nodes:
        chart.add(_id(node), _label(node), [node])
    chart.close()


def _hosts(chart: _Chart, name: str, hosts: Sequence[Node], *, alone: bool) -> None:
    if alone or len(hosts) == 1:
        for machine, its in groupby(hosts, key=lambda h: h.machine or h.name):
            parts = list(its)
            if len(parts) > 1:
                chart.start(f"{name}M{parts[0].name.replace('-', '_')}", f"machine {machine}")
            for host in parts:
                chart.add(_id(host), _label(host), [host])
            if len(parts) > 1:
                chart.close()
    elif hosts:
        chart.add(name, f"{len(hosts)} hosts<br/>{hosts[0].name} … {hosts[-1].name}", hosts)


def _edges(fabric: Fabric, chart: _Chart) -> Iterator[str]:
    rail = rails(fabric)
    tenants = tenant_classes(list(fabric.tenants))
    count: dict[tuple[str, str], int] = {}
    kinds: dict[tuple[str, str], set[str]] = {}
    for link in fabric.links:
        ends = (chart.id_of[link.a], chart.id_of[link.b])
        count[ends] = count.get(ends, 0) + 1
        host = fabric[link.b]
        kind = tenants.get(host.vrf, "") if tenants else rail_class(rail[link.a]) if link.a in rail else ""
        kinds.setdefault(ends, set()).add(kind if host.is_host else "")
    if len(count) > EDGES:
        count = _bundled(fabric, chart, count)
    coloured: dict[int, list[int]] = {}
    for i, ((a, b), many) in enumerate(count.items()):
        yield f"  {a} ---{_times(chart, a, b, many)} {b}"
        its = kinds.get((a, b), set())
        if len(its) == 1 and (found := re.match(r"r(\d)", next(iter(its)))):
            coloured.setdefault(int(found[1]), []).append(i)
    for colour, edges in sorted(coloured.items()):
        yield f"  linkStyle {','.join(map(str, edges))} stroke:{COLOURS[colour]}"


def _times(chart: _Chart, a: str, b: str, many: int) -> str:
    """How many links an edge stands for, where its ends do not say it already."""
    if a not in chart.parent:
        return f'|"{many} links"|'
    return f'|"{many} x"|' if many > 1 and not b[0].isupper() else ""


def _bundled(fabric: Fabric, chart: _Chart, count: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Edges between switches as edges between their subgraphs."""
    switches = {chart.id_of[n.name] for n in fabric.switches}
    bundled: dict[tuple[str, str], int] = {}
    for (a, b), many in count.items():
        ends = (chart.parent[a], chart.parent[b]) if b in switches else (a, b)
        bundled[ends] = bundled.get(ends, 0) + many
    return bundled


def _id(node: Node) -> str:
    """A name Mermaid reads as one word, and as none of its own words, which are letters only.

    No name holds a capital, so none is also that of a box that is no node.
    """
    return node.name.replace("-", "_") + ("_N" if node.name.isalpha() else "")


def _label(node: Node) -> str:
    return f"<b>{node.name}</b><br/>AS {node.asn}<br/>{node.loopback}"
