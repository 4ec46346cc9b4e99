"""Finding the labs there are, and taking one down without a trace, whatever state it is in.

Of what a lab was meant to be, nothing is read here: that would cost more than the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from closet.errors import UsageError
from closet.runtime import limits
from closet.runtime.choose import named
from closet.runtime.processes import cgroup_folders
from closet.runtime.state import LabFolder, labs, lifted


def find(name: str | None = None) -> LabFolder:
    """The folder of a lab; without a name, the only one.

    Raises:
        UsageError: there is no such lab, none at all, or several to choose from.
    """
    there = labs()
    if name is not None:
        folder = LabFolder(name)
        if not folder.exists():
            known = ", ".join(f.name for f in there) or "none"
            raise UsageError(f"lab {name!r}: there is no such lab, running: {known}")
        return folder
    if len(there) != 1:
        which = "no lab runs (`closet up INTENT` starts one)" if not there else "several labs run"
        raise UsageError(f"{which}{': name one of ' + ', '.join(f.name for f in there) if there else ''}")
    return there[0]


def down(name: str) -> bool:
    """Take a lab down, whatever state it is in; a lab that does not exist is down. Returns whether there was one.

    Raises:
        RuntimeFault: something would not go. UsageError: another command works on it.
    """
    folder = LabFolder(name)
    if not folder.path.parent.is_dir() and not is_there(folder):
        return False  # and no folder for a lock
    with folder.locked():
        state = folder.read()
        return remove(folder, state.runtime if state is not None else None)


def is_there(folder: LabFolder) -> bool:
    """Whether there is anything of a lab: without its files, its nodes still run."""
    return folder.exists() or bool(cgroup_folders(folder.id))


def remove(folder: LabFolder, runtime: str | None) -> bool:
    """Remove all there is of a lab that this process has locked; see `down`."""
    if not is_there(folder):
        return False
    state = folder.read()
    # Again, if something came into a folder that was just being removed: then somebody was still at work there.
    for attempt in Retrying(retry=retry_if_exception_type(OSError), stop=stop_after_attempt(3), reraise=True):
        with attempt:
            for each in named(runtime):
                each.destroy(folder)
            if folder.exists():
                folder.remove()
    if state is not None and not lifted():  # the last one that needed it
        limits.restore(state.lifted)
    return True


@dataclass(frozen=True, slots=True)
class Stray:
    """A lab whose folder somebody has deleted while it ran.

    Attributes:
        id: see `LabFolder.id`. runtime: its name. nodes: how many there still are.
    """

    id: str
    runtime: str
    nodes: int


def strays() -> list[Stray]:
    """Every stray on this machine, by id, whichever folder it was of."""
    found = [Stray(lab, each.name, nodes) for each in named(None) for lab, nodes in each.strays().items()]
    return sorted(found, key=lambda stray: stray.id)


def end(stray: Stray) -> None:
    """Remove all that is left of a stray.

    Raises:
        RuntimeFault: something would not go.
    """
    (runtime,) = named(stray.runtime)
    runtime.end(stray.id)
