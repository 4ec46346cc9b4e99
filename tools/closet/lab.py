"""A lab: a fabric that runs. Bringing it up, and opening it again."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from closet.converge import Convergence
from closet.errors import ClosetError, EnvironmentFault, IntentError, RuntimeFault, UsageError
from closet.intent import Intent
from closet.plan import Fabric, plan
from closet.render import render
from closet.runtime import boot, cables, limits, microvm, rdma
from closet.runtime.choose import choose
from closet.runtime.guest import GuestNode
from closet.runtime.node import LiveNode
from closet.runtime.processes import born
from closet.runtime.protocol import Build
from closet.runtime.state import CHANGING, INTENT, LabFolder, LabState, lifted, write_atomically
from closet.signals import uninterrupted
from closet.suite import Result, Which, run, select
from closet.takedown import find, is_there, remove


@dataclass(slots=True)
class Progress:
    """Who is told what happens while a lab comes up.

    Attributes:
        say: one line, for what takes long.
        mark: the name of a phase that has just ended.
    """

    say: Callable[[str], None] = field(default=lambda _: None)
    mark: Callable[[str], None] = field(default=lambda _: None)


@dataclass(slots=True)
class Lab:
    """A running lab.

    Attributes:
        nodes: name → the live node.
        results: of the checks that proved it, when it has just come up.
        fresh: False where `up` found it running already.
    """

    fabric: Fabric
    folder: LabFolder
    state: LabState
    nodes: Mapping[str, LiveNode]
    results: list[Result] = field(default_factory=list)
    fresh: bool = False

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.state.name

    def __getitem__(self, node: str) -> LiveNode:
        """The live node of that name.

        Raises:
            UsageError: there is none; names those there are.
        """
        if node not in self.nodes:
            some = " ".join(list(self.nodes)[:12])
            raise UsageError(
                f"lab {self.name}: no node {node!r}, there are: {some}{' ...' if len(self.nodes) > 12 else ''}"
            )
        return self.nodes[node]

    def check(self, *names: str, which: Which | None = None) -> list[Result]:
        """Run the checks of these names, or all of them; with `which`, these claims of theirs only."""
        return run(self.fabric, self.nodes, select(names), which)

    def alive(self) -> bool:
        """Whether every node's first process runs."""
        return all(node.alive() for node in self.nodes.values())


def up(intent: Intent, *, runtime: str = "auto", name: str | None = None, progress: Progress | None = None) -> Lab:
    """Bring a fabric up and prove it: returns when no finding is left, or with those that will not go.

    The same intent again is a quick no-op. On any failure, and on Ctrl-C, nothing is left behind.

    Raises:
        IntentError: the intent cannot be planned.
        UsageError: the name is taken by another intent, or another command works on the lab.
        EnvironmentFault: this machine lacks something. RuntimeFault: a node did not come up.
    """
    progress = progress or Progress()
    if name is not None:
        intent = intent.model_copy(update={"name": name})
    fabric = plan(intent)
    progress.mark("plan")
    folder = LabFolder(intent.name)
    with folder.locked():
        text = intent.said()
        digest = hashlib.sha256(text.encode()).hexdigest()
        if (running := _already(folder, digest, runtime, progress)) is not None:
            return running
        if shutil.which("nsenter") is None:
            raise EnvironmentFault("nsenter is not installed: run `closet doctor --install`")
        chosen, why = choose(runtime)
        speaks = rdma.choose(fabric)
        why = ", ".join(filter(None, (why, speaks.why)))
        progress.say(why)
        state = LabState(name=intent.name, runtime=chosen.name, phase="starting", digest=digest, why=why)
        state.backends = {k: str(v) for k, v in speaks.backends.items()}
        state.lifted = _too_low(len(fabric.nodes))
        try:
            _write(folder, fabric, text, state)
            limits.lift(state.lifted)
            progress.mark("render")
            guests = [fabric[name] for name in speaks.machines]
            machines = microvm.prepare(guests, progress.say) if guests else None
            started = chosen.create(Build(fabric, folder, progress.say, progress.mark))
            state.pids = {k: s.pid for k, s in started.items()}
            state.born = {k: born(s.pid) for k, s in started.items()}
            if machines is not None:
                state.machines = microvm.launch(fabric, folder, started, speaks.machines, machines)
                state.machines_born = {k: born(pid) for k, pid in state.machines.items()}
                progress.mark("microVMs started")
            nodes = _nodes(folder, state)
            boot.start_daemons(fabric, started, nodes)
            progress.mark("daemons")
            with Convergence(fabric, nodes) as convergence:
                cables.raise_links(fabric, nodes)
                rdma.attach(fabric, nodes, speaks)
                progress.mark("links up")
                convergence.wait()
            progress.mark("converged")
            lab = Lab(fabric, folder, state, nodes, fresh=True)
            lab.results = prove(lab)
            if not all(r.passed for r in lab.results) and folder.full():
                raise RuntimeFault(f"lab {folder.name}: nodes that cannot write")  # it is said below what that means
            progress.mark("proven")
            state.phase = "running"
            state.started = time.time()
            folder.write(state)
        except BaseException as e:
            full = folder.full()  # afterwards it is not
            progress.say(f"{folder.name}: removing what there is of it")
            with uninterrupted():
                remove(folder, chosen.name)
            if full and isinstance(e, OSError | ClosetError):
                raise EnvironmentFault(f"lab {folder.name}: no space left on the disk of {folder.path.parent}") from e
            if isinstance(e, OSError):
                place = f": {e.filename}" if e.filename else ""
                raise EnvironmentFault(f"lab {folder.name}: {e.strerror or e}{place}") from e
            raise
        return lab


def _too_low(nodes: int) -> dict[str, int]:
    """The settings to raise for so many nodes, and their values now; of those another lab has raised, before that.

    The last of these labs to go restores them (`closet.takedown`).
    """
    return limits.low() | lifted() if nodes >= limits.LARGE else {}


def prove(lab: Lab, seconds: float = 15.0, names: Iterable[str] = (), which: Which | None = None) -> list[Result]:
    """Run checks, and those with findings again until none is left or time is over.

    Args:
        names: those of these names; default: all.
        which: these claims of theirs only.
    """
    deadline = time.monotonic() + seconds
    results = {r.check: r for r in lab.check(*names, which=which)}
    while (failed := [r.check for r in results.values() if not r.passed]) and time.monotonic() < deadline:
        results |= {r.check: r for r in lab.check(*failed, which=which)}
    return list(results.values())


def _already(folder: LabFolder, digest: str, runtime: str, progress: Progress) -> Lab | None:
    """The lab if it runs as asked; else what is left of a broken one is removed, and a different one refused."""
    if not is_there(folder):
        return None
    state = folder.read()
    if state is None or state.phase != "running":
        progress.say(f"lab {folder.name} was left half-made: removing what there is of it")
    elif state.digest != digest or runtime not in {"auto", state.runtime}:
        raise UsageError(
            f"lab {folder.name}: runs already, with another intent or runtime "
            f"(allowed: `closet down {folder.name}` first, or another --name)"
        )
    elif (lab := _open(folder)) is not None and lab.alive():
        return lab
    else:
        progress.say(f"lab {folder.name} has nodes that died, or files that are gone: starting it anew")
    remove(folder, state.runtime if state is not None else None)
    return None


def _write(folder: LabFolder, fabric: Fabric, intent: str, state: LabState) -> None:
    """Write all of a lab's files; the state first, so that whatever follows can be taken down."""
    folder.path.mkdir(parents=True)
    folder.write(state)
    write_atomically(folder.path / INTENT, intent)
    for node, files in render(fabric):
        frr, log = folder.node(node.name) / "frr", folder.node(node.name) / "log"
        frr.mkdir(parents=True)
        log.mkdir()
        log.chmod(0o777)  # FRR's daemons write there as their own user
        for name, text in files.items():
            (frr / name).write_text(text)


def open_lab(name: str | None = None, *, changing: bool = False) -> Lab:
    """A lab that is up; without a name, the only one.

    Args:
        changing: open one that is half-changed.

    Raises:
        UsageError: there is no such lab, none at all, several to choose from, or it is not up yet.
    """
    folder = find(name)
    if (lab := _open(folder, CHANGING if changing else "running")) is None:
        state = folder.read()
        if state is not None and state.phase == CHANGING:
            raise UsageError(
                f"lab {folder.name}: half-changed, an `apply` is at work or did not finish: "
                f"another one takes it back first, `closet down {folder.name}` removes it"
            )
        raise UsageError(
            f"lab {folder.name}: not up, an `up` did not finish or its files are damaged: "
            f"`closet down {folder.name}` removes it"
        )
    return lab


def _open(folder: LabFolder, phase: str = "running") -> Lab | None:
    """The lab in a folder, or None where its files do not say what it is, or that it is in another phase."""
    state = folder.read()
    if state is None or state.phase != phase:
        return None
    try:
        fabric = plan(Intent.model_validate_json((folder.path / INTENT).read_bytes()))
    except (OSError, ValueError, IntentError):
        return None
    if state.pids.keys() != fabric.nodes.keys():
        return None
    return Lab(fabric, folder, state, _nodes(folder, state))


def _nodes(folder: LabFolder, state: LabState) -> dict[str, LiveNode]:
    """The live nodes of a lab; those that are microVMs are of that kind."""
    nodes = {k: LiveNode(name=k, pid=p, folder=folder.node(k), born=state.born[k]) for k, p in state.pids.items()}
    for k, machine in state.machines.items():
        nodes[k] = GuestNode(
            name=k,
            pid=state.pids[k],
            born=state.born[k],
            folder=folder.node(k),
            machine=machine,
            machine_born=state.machines_born[k],
        )
    for k, backend in state.backends.items():
        nodes[k].rdma = backend
    return nodes
