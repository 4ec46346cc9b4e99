"""What one node does to get from one plan to another; typed, and worked out without looking at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from closet.change.delta import Delta, Path, delta
from closet.observe.frr import config_paths
from closet.plan import Fabric, Node
from closet.render import Files, render_node
from closet.render.rewire import Rewire, rewire


@dataclass(frozen=True, slots=True)
class Step:
    """One node's part of a change.

    Attributes:
        before, after: its files.
        rewire: what changes in its kernel.
        delta: the lines to tell FRR.
    """

    node: Node
    before: Files
    after: Files
    rewire: Rewire
    delta: Delta

    def __bool__(self) -> bool:
        return self.before != self.after or bool(self.rewire.ports)


def steps(old: Fabric, new: Fabric, names: Iterable[str] | None = None) -> dict[str, Step]:
    """Node → its step, of those that have one: a host that is the same in both plans has none."""
    some = [n for n in (old.nodes if names is None else names) if not (old[n].is_host and old[n] == new[n])]
    found = {name: _step(old, new, name) for name in some}
    return {name: step for name, step in found.items() if step}


def _step(old: Fabric, new: Fabric, name: str) -> Step:
    before, after = render_node(old, old[name]), render_node(new, new[name])
    return _made(old, new, name, (before, after), config_paths(before["frr.conf"]), thorough=False)


def way_back(step: Step, old: Fabric, new: Fabric, runs: Sequence[Path]) -> Step:
    """The step back from anywhere on the way of `step`, which led from `old` to `new`.

    Args:
        runs: the configuration FRR really runs.
    """
    return _made(new, old, step.node.name, (step.after, step.before), runs, thorough=True)


def _made(
    old: Fabric, new: Fabric, name: str, files: tuple[Files, Files], runs: Sequence[Path], *, thorough: bool
) -> Step:
    wires = rewire(old, new, name, files, thorough=thorough)
    reborn = {t.name for t in wires.make} & set(wires.dropped)
    return Step(
        node=new[name],
        before=files[0],
        after=files[1],
        rewire=wires,
        delta=delta(runs, config_paths(files[1]["frr.conf"]), reborn),
    )


def rising(new: Fabric, parts: Iterable[Step], alive: Collection[str] | None = None) -> Fabric:
    """The part of a fabric whose links rise again: those with an end that went down.

    Args:
        alive: of these nodes only; default: of all.
    """
    down = {(s.node.name, p.name) for s in parts for p in s.rewire.ports}
    links = tuple(
        k
        for k in new.links
        if ((k.a, k.a_port) in down or (k.b, k.b_port) in down) and (alive is None or (k.a in alive and k.b in alive))
    )
    ends = {e for k in links for e in ((k.a, k.a_port), (k.b, k.b_port))}
    names = {name for name, _ in ends}
    nodes = {
        n.name: replace(n, ports=tuple(p for p in n.ports if (n.name, p.name) in ends)) for n in new if n.name in names
    }
    return replace(new, nodes=nodes, links=links)
