"""The Docker engine on this machine: whether it answers, the node image, and the containers of a lab."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet import paths
from closet.errors import EnvironmentFault, RuntimeFault
from closet.runtime import rootfs

SOCKET = "/var/run/docker.sock"
LABEL = "containerlab"
"""Label of every container of a lab: the lab's name."""
NODE_LABEL, FILE_LABEL = "clab-node-name", "clab-topo-file"
"""Labels that containerlab gives: the node, and the topology file."""
HINT = "see `closet doctor`"
PATIENCE = 20.0
"""Seconds for an answer from an engine somebody counts on."""
WORKERS = 16
"""Requests at once; the engine's own work is what takes the time."""


def socket_path() -> str | None:
    """The engine's socket: `DOCKER_HOST`, or Docker's own; None where that is no socket on this machine."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    return host.removeprefix("unix://") if host.startswith("unix://") else None


def version(seconds: float = 1.0) -> str | None:
    """The version of the engine, or None if it does not answer in time."""
    status, head = _get("/_ping", seconds)
    found = re.search(r"^Server: Docker/(\S+)", head, re.MULTILINE | re.IGNORECASE)
    return (found[1] if found else "?") if status == 200 else None


def why_not(seconds: float = 1.0) -> str | None:
    """Why there is no engine to work with, in a few words; None if there is one that answers in time."""
    path = socket_path()
    if path is None:
        return f"DOCKER_HOST={os.environ['DOCKER_HOST']} is no engine on this machine"
    if not Path(path).is_socket():
        return "no Docker engine here"
    return None if version(seconds) is not None else f"the Docker engine at {path} does not answer"


def _get(path: str, seconds: float = PATIENCE) -> tuple[int, str]:
    """Status and head of the answer to a request (Docker Engine API): quicker than to import a client; 0 is none."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            s.connect(socket_path() or SOCKET)
            s.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            while b"\r\n\r\n" not in answer and (more := s.recv(4096)):
                answer += more
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[0].decode(errors="replace")
    except (OSError, ValueError, IndexError):
        return 0, ""


def image_name() -> str:
    """The image of every node: one for each recipe of the root filesystem."""
    return f"closet-node:{rootfs.recipe_digest()}"


def _has_image(name: str) -> bool:
    status, _ = _get(f"/images/{name}/json")
    if status not in {200, 404}:
        raise EnvironmentFault(f"the Docker engine does not say whether it has {name} ({HINT})")
    return status == 200


class Engine:
    """The engine, through Docker's own client.

    Raises:
        EnvironmentFault: it does not answer.
    """

    def __init__(self) -> None:
        if (reason := why_not(PATIENCE)) is not None:
            raise EnvironmentFault(f"{reason}: start Docker, or take `--runtime oci` ({HINT})")
        self._client: Any = None

    @property
    def _api(self) -> Any:
        """The client, made when it is first needed: importing it costs 0.2 s."""
        if self._client is None:
            import docker

            with _said():
                self._client = docker.APIClient(f"unix://{socket_path()}", version="auto", num_pools=WORKERS)
        return self._client

    def prepare(self) -> None:
        """Make the client now, while something else takes its time."""
        _ = self._api

    def ensure_image(self, say: Callable[[str], None]) -> str:
        """The name of the node image; makes it first if need be, from the root filesystem (about 5 s).

        Raises:
            EnvironmentFault: the engine would not take it: no space left, say.
        """
        name = image_name()
        if not _has_image(name):
            base = rootfs.ensure(say)
            with (paths.cache() / "image.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # two labs started at once import it once
                if not _has_image(name):
                    say("giving the node image to the Docker engine (once; about 5 s)")
                    self._import(base, name)
        return name

    def _import(self, base: Path, name: str) -> None:
        repository, _, tag = name.partition(":")
        with _said(f"importing the node image {name}"):
            answer = self._api.import_image_from_data(
                _tar(base), repository, tag, changes=["ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
            )
        if '"error"' in answer:  # the engine says 200 before it begins to read
            raise EnvironmentFault(f"importing the node image {name}: {answer.strip().splitlines()[-1]} ({HINT})")

    def pids(self, lab: str) -> dict[str, int]:
        """Node → the first process of its container, as the machine counts; only those that run."""
        with _said(f"lab {lab}"), ThreadPoolExecutor(WORKERS) as pool:
            there = self._api.containers(filters={"label": f"{LABEL}={lab}"})
            found = pool.map(self._api.inspect_container, (c["Id"] for c in there))
            return {c["Config"]["Labels"].get(NODE_LABEL): c["State"]["Pid"] for c in found if c["State"]["Running"]}

    def files(self) -> dict[str, list[Path]]:
        """Lab → the topology file of each of its containers, whatever state that is in."""
        found: dict[str, list[Path]] = {}
        with _said():
            for container in self._api.containers(all=True, filters={"label": FILE_LABEL}):
                labels = container["Labels"]
                found.setdefault(labels[LABEL], []).append(Path(labels[FILE_LABEL]))
        return found

    def remove(self, lab: str, quiet: float, seconds: float = 60.0) -> set[str]:
        """Remove every container of a lab, whatever state it is in; returns their names.

        Args:
            quiet: seconds in which no other may appear before all count as gone: what the engine has begun for
                someone, it finishes, even when who asked is dead.

        Raises:
            RuntimeFault: one would not go within `seconds`.
        """
        names: set[str] = set()
        why: list[str] = []
        last = time.monotonic()

        def left() -> bool:
            nonlocal last
            with _said(f"lab {lab}"), ThreadPoolExecutor(WORKERS) as pool:
                there = self._api.containers(all=True, filters={"label": f"{LABEL}={lab}"})
                if there:
                    names.update(name.lstrip("/") for c in there for name in c["Names"])
                    why[:] = [e for e in pool.map(self._remove, there) if e]
                    last = time.monotonic()
            return bool(there) or time.monotonic() - last < quiet

        try:
            Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.02), retry=retry_if_result(bool))(left)
        except RetryError:
            raise RuntimeFault(f"lab {lab}: containers that would not go: {(why or ['?'])[-1]} ({HINT})") from None
        return names

    def _remove(self, container: dict[str, Any]) -> str | None:
        """Remove one; else why not: it may be starting or going at this very moment."""
        from docker.errors import APIError

        try:
            self._api.remove_container(container["Id"], force=True, v=True)
        except APIError as e:
            return f"{container['Names'][0].lstrip('/')}: {e.explanation}"
        return None


def _tar(base: Path) -> Iterator[bytes]:
    """The root filesystem as a tar; ends in an error rather than too early."""
    with subprocess.Popen(
        ["tar", "-C", str(base), "--numeric-owner", "--xattrs", "--xattrs-include=security.capability", "-c", "."],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as tar:
        assert tar.stdout is not None  # noqa: S101  stdout=PIPE
        while data := tar.stdout.read(1 << 20):
            yield data
        if tar.wait() != 0:
            raise EnvironmentFault(f"tar cannot read all of {base}")


@contextmanager
def _said(what: str = "Docker") -> Iterator[None]:
    """Whatever Docker's client raises, in one line."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException) as e:
        why = getattr(e, "explanation", None) or str(e)
        raise EnvironmentFault(f"{what}: {str(why).strip().splitlines()[0]} ({HINT})") from None
