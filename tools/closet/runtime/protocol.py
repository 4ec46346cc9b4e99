"""What a runtime must do: nothing here knows which one it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from closet.runtime.state import LabFolder

if TYPE_CHECKING:  # who takes a lab down plans nothing
    from closet.plan import Fabric


@dataclass(slots=True)
class Started:
    """A node that exists but runs no daemon yet.

    Attributes:
        pid: its first process, as the machine counts.
        stdin, stdout: pipes to the shell in the node that waits for boot commands, one a line, and answers
            each with its return code.
    """

    pid: int
    stdin: int
    stdout: int

    def close(self) -> None:
        """Close the pipes; the shell then ends, or becomes the node's idle first process."""
        os.close(self.stdin)
        os.close(self.stdout)


@dataclass(slots=True)
class Build:
    """What a runtime is given.

    Attributes:
        say: told in one line what takes long.
        mark: told the name of each phase that ended.
    """

    fabric: Fabric
    folder: LabFolder
    say: Callable[[str], None]
    mark: Callable[[str], None] = field(default=lambda _: None)


class Runtime(Protocol):
    """Nodes with the planned links between them, and their complete removal."""

    name: str

    def create(self, build: Build) -> Mapping[str, Started]:
        """Make every node (with its files at /etc/frr) and every link (with its MAC and MTU), links down.

        Raises:
            EnvironmentFault: this machine lacks something. RuntimeFault: a node or link failed.
        """

    def destroy(self, folder: LabFolder) -> None:
        """Remove every process, mount, namespace, cgroup, link and container of a lab, whatever state it is in.

        Raises:
            RuntimeFault: something would not go.
        """

    def strays(self) -> dict[str, int]:
        """Labs whose folder somebody has deleted while they ran: id → nodes that still do."""

    def end(self, lab: str) -> None:
        """Remove all that is left of a stray, by its id.

        Raises:
            RuntimeFault: something would not go.
        """
