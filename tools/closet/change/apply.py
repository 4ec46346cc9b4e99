"""`closet apply`: a running lab gets other tenants and peerings, and nothing else of it is touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from closet.change.move import move, runs, write_files
from closet.change.refuse import refuse_moved_nics, refuse_others
from closet.change.scope import scope
from closet.change.step import Step, rising, steps, way_back
from closet.converge import Convergence
from closet.errors import ClosetError, EnvironmentFault, IntentError, RuntimeFault, UsageError
from closet.expect import expected_tables
from closet.intent import Intent
from closet.lab import Lab, Progress, open_lab, prove
from closet.observe import frr
from closet.plan import Fabric, plan
from closet.runtime.cables import raise_links
from closet.runtime.node import LiveNode
from closet.runtime.state import CHANGING, INTENT, NEXT, LabFolder, write_atomically
from closet.signals import to_its_end, uninterrupted

STILL = ("daemons", "config", "sessions", "rib", "fib", "links", "settings", "layer2")
"""Checks that say whether a device is as it was, and send no packet."""
ALWAYS = {"mgmtd", "zebra", "bgpd"}
MOST = 12
"""Findings that one line of error has room for."""
ROOM = 1 << 20
"""Bytes of disk for what nodes and closet write beside configurations."""
WORKERS = 2 * (os.cpu_count() or 1)
"""Nodes that change at once: each waits as much as it works."""


@dataclass(slots=True)
class Applied:
    """What an `apply` did.

    Attributes:
        lab: as it is now, with the results of the checks that proved what had changed.
        before: the plan it had.
        steps: node → what it did; empty where nothing differs.
    """

    lab: Lab
    before: Fabric
    steps: Mapping[str, Step] = field(default_factory=dict)


def apply(intent: Intent, *, name: str | None = None, progress: Progress | None = None) -> Applied:
    """Bring a running lab to another intent, and prove all that could be another by it (see `scope`).

    What goes wrong is taken back: then the lab is as it was, or the error says which devices are not, and how.

    Raises:
        IntentError: the intent cannot be planned.
        UsageError: the lab is not up, the intent differs in more than tenants and peerings, a NIC would go to another
            host, or another command works on the lab.
        RuntimeFault: it failed.
    """
    progress = progress or Progress()
    folder = LabFolder(name or intent.name)
    if not folder.exists():
        open_lab(folder.name)  # says what there is instead
    with folder.locked():
        _recover(folder, progress)
        lab = _alive(open_lab(folder.name))
        intent = intent.model_copy(update={"name": folder.name})
        text = intent.said()
        refuse_others(folder.name, Intent.model_validate_json((folder.path / INTENT).read_bytes()), intent)
        old, new = lab.fabric, plan(intent)
        refuse_moved_nics(folder.name, old, new)
        progress.mark("plan")
        todo = steps(old, new)
        progress.mark("render")
        if todo:
            _see_room(folder, text, todo)
        _change(lab, new, todo, text, progress)
        if todo:
            lab.results = prove(lab, which=scope(old, new, todo).covers)
            progress.mark("proven")
        return Applied(lab, old, todo)


def _alive(lab: Lab) -> Lab:
    if not lab.alive():
        raise UsageError(f"lab {lab.name}: has nodes that died (allowed: `closet down {lab.name}`, then up)")
    return lab


def _recover(folder: LabFolder, progress: Progress) -> None:
    """Take back what an apply has left half-done that was killed, or found no way back.

    Raises:
        RuntimeFault: see `_take_back`.
    """
    state = folder.read()
    if state is None or state.phase != CHANGING:
        return
    try:
        new = plan(Intent.model_validate_json((folder.path / NEXT).read_bytes()))
    except (OSError, ValueError, IntentError):
        return  # it cannot be known what it was to become; `open_lab` says what is left to do
    lab = _alive(open_lab(folder.name, changing=True))
    progress.say(f"{lab.name}: an apply did not finish: taking it back")
    with uninterrupted():
        had = (folder.path / INTENT).read_text(encoding="utf-8")
        _take_back(lab, new, steps(lab.fabric, new), had, "an apply did not finish")


def _see_room(folder: LabFolder, text: str, todo: Mapping[str, Step]) -> None:
    """See that there is room for what is written on the way there and back: on a full disk there is no way back.

    Raises:
        EnvironmentFault: there is not; nothing was changed.
    """
    need = ROOM + len(text) + 2 * sum(len(t) for s in todo.values() for t in (*s.before.values(), *s.after.values()))
    if folder.free() < need:
        raise EnvironmentFault(
            f"lab {folder.name}: no space left on the disk of {folder.path.parent}: {folder.free() >> 10} KiB free, "
            f"{(need >> 10) + 1} needed; nothing was changed"
        )


def _change(lab: Lab, new: Fabric, todo: Mapping[str, Step], text: str, progress: Progress) -> None:
    """Have every node take its step, and the lab be of the new intent; or all of them take it back."""
    old, had = lab.fabric, (lab.folder.path / INTENT).read_text(encoding="utf-8")
    try:
        if todo:
            write_atomically(lab.folder.path / NEXT, text)
            lab.state.phase = CHANGING
            lab.folder.write(lab.state)
            _move_all(lab.nodes, todo, new)
            progress.mark("changed")
            late = _settle(lab, old, new, todo)
            progress.mark("converged")
            if late:
                progress.say(f"{', '.join(sorted(late))}: routes are not as planned")
        _write_down(lab, text)
        lab.fabric = new
    except BaseException as e:
        progress.say(f"{lab.name}: taking it back")
        with uninterrupted():
            said = _take_back(lab, new, todo, had, str(e) or type(e).__name__)
        if not isinstance(e, ClosetError | OSError):
            raise
        raise RuntimeFault(f"lab {lab.name}: {e}; {said}") from e


def _write_down(lab: Lab, text: str) -> None:
    """Have the lab's folder say that it runs, and with which intent."""
    write_atomically(lab.folder.path / INTENT, text)
    lab.state.phase, lab.state.digest = "running", hashlib.sha256(text.encode()).hexdigest()
    lab.folder.write(lab.state)
    (lab.folder.path / NEXT).unlink(missing_ok=True)


def _move_all(nodes: Mapping[str, LiveNode], todo: Mapping[str, Step], new: Fabric) -> None:
    # Whatever is under way must be over before it is taken back, and a thread that is interrupted in starting
    # another one does not know of it.
    with to_its_end(), ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(move, nodes[name], step, new) for name, step in todo.items()]:
            done.result()


def _settle(lab: Lab, old: Fabric, new: Fabric, todo: Mapping[str, Step]) -> set[str]:
    """Raise the ports that moved, and wait for the routes; returns the nodes whose are not as planned.

    A node that has died meanwhile is left out: it took its cables with it, and checks say what else that means.
    """
    alive = {name for name, node in lab.nodes.items() if node.alive()}
    part = rising(new, todo.values(), alive)
    was, will = expected_tables(old), expected_tables(new)
    names = {n for n in alive if n in todo or was[n] != will[n]}
    with Convergence(new, lab.nodes, names=names, rising=part) as convergence:
        raise_links(part, lab.nodes)
        return convergence.wait()


def _take_back(lab: Lab, new: Fabric, todo: Mapping[str, Step], had: str, why: str) -> str:
    """Lead every node back to the plan the lab had, from wherever it got to; returns in words how that went.

    Args:
        had: its intent. why: what went wrong.

    Raises:
        RuntimeFault: some are not as they were; says which, and how.
    """
    old = lab.fabric
    back = {name: way_back(step, old, new, ()) for name, step in todo.items()}
    anew, refused = [], []
    for name, step in todo.items():
        node = lab.nodes[name]
        try:
            if not _move_back(node, step, old, new):
                anew.append(name)
        except (ClosetError, OSError) as e:
            refused.append(str(e))
            with suppress(OSError):  # what could not be written is among what is found below
                write_files(node.folder / "frr", step.after, step.before)
    try:
        _settle(lab, new, old, back)
    except (ClosetError, OSError) as e:
        refused.append(str(e))
    results = prove(lab, names=STILL)
    wrong = refused + [str(f) for r in results for f in r.findings] + [r.error for r in results if r.error]
    if wrong:
        more = f" ... and {len(wrong) - MOST} more" if len(wrong) > MOST else ""
        raise RuntimeFault(
            f"lab {lab.name}: {why}; taken back, but beside the plan it had there is still: "
            f"{'; '.join(wrong[:MOST])}{more} (`closet down {lab.name}` removes it)"
        )
    try:
        _write_down(lab, had)
    except OSError as e:
        raise RuntimeFault(
            f"lab {lab.name}: {why}; taken back, it is as it was, but its folder cannot say so: {e.strerror} "
            f"(`closet down {lab.name}` removes it)"
        ) from None
    return "taken back, it is as it was" + (f" (FRR was started anew on {', '.join(anew)})" if anew else "")


def _move_back(node: LiveNode, step: Step, old: Fabric, new: Fabric) -> bool:
    """Take a node its way back; where its FRR does not take part, by starting that anew: then it returns False."""
    with suppress(ClosetError, OSError):
        if frr.daemons(node, old) >= ALWAYS:
            move(node, way_back(step, old, new, runs(node, new)), old)
            return True
    move(node, way_back(step, old, new, ()), old, restart=True)
    return False
