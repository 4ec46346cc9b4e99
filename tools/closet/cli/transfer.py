"""In what words a transfer is asked for: SRC and DST, and the options of every command that makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from closet.errors import UsageError

if TYPE_CHECKING:
    from closet.lab import Lab
    from closet.records import Endpoint
    from closet.traffic import verbs

Command = TypeVar("Command", bound=Callable[..., Any])
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
KERNEL = {"microvm", "soft-roce"}
"""Back-ends (`closet.runtime.rdma.Backend`) with which a host's kernel speaks RDMA."""
ATOMICS = {"cas": 8, "faa": 8}
"""Verbs whose messages have a size of their own (IBTA section 9.4.5): bytes."""
VERBS = ("write", "read", "send", *ATOMICS)


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: a number, or one with K, M or G behind it."""

    name = "bytes"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of `64K` and the like."""
        if isinstance(value, int):
            return value
        number = value.upper().rstrip("KMG")
        unit = value.upper()[len(number) :]
        if not number.isdecimal() or unit not in UNITS:
            self.fail(f"{value!r}: allowed are numbers like 64, 64K, 16M, 1G", param, ctx)
        return int(number) * UNITS[unit]


def asking(*, size: str, messages: int, qps: int, most_qps: int) -> Callable[[Command], Command]:
    """What every transfer is asked for by, with these defaults."""
    words = (
        click.argument("source", metavar="SRC"),
        click.argument("target", metavar="DST"),
        click.option("--lab", help="Which lab, if several run."),
        click.option("--verb", type=click.Choice(VERBS), default="write", show_default=True, help="What to do."),
        click.option("--size", type=Size(), default=size, show_default=True, help="Bytes of a message, such as 64K."),
        click.option(
            "--messages",
            type=click.IntRange(1),
            default=messages,
            show_default=True,
            help="How many on each queue pair.",
        ),
        click.option("--qps", type=click.IntRange(1, most_qps), default=qps, show_default=True, help="Queue pairs."),
        click.option("--dscp", type=click.IntRange(0, 63), default=26, show_default=True, help="Service class."),
        click.option("--json", "json_", is_flag=True, help="For programs."),
    )

    def add(command: Command) -> Command:
        for word in reversed(words):
            command = word(command)
        return command

    return add


def ends(lab: Lab, source: str, target: str) -> tuple[Endpoint, Endpoint, int]:
    """The two addresses that are meant, and the smaller of the IP MTUs there."""
    (a, a_mtu), (b, b_mtu) = _address(lab, source), _address(lab, target)
    if a.host == b.host:
        raise UsageError(f"{source} {target}: that is one host, allowed are two")
    return a, b, min(a_mtu, b_mtu)


def _address(lab: Lab, word: str) -> tuple[Endpoint, int]:
    """The address of a host meant by a word, and the IP MTU there."""
    from closet.records import Endpoint

    name, _, port = word.partition("/")
    lab[name]  # or it is a usage error
    host = lab.fabric[name]
    nics = {p.name: p for p in host.ports if p.rail is not None}
    if not host.is_host:
        raise UsageError(f"{name}: a {host.role} has no RDMA, allowed are hosts")
    if port == "lo" or not nics:
        return Endpoint(name, host.loopback), min(p.mtu for p in host.ports)
    if port and port not in nics:
        raise UsageError(f"{word}: {name} has no such NIC, it has: {', '.join(nics)}, lo")
    nic = nics[port] if port else next(iter(nics.values()))
    assert nic.rail is not None  # noqa: S101  these are
    return Endpoint(name, nic.rail, nic.name), nic.mtu


def backend(lab: Lab, ends: tuple[Endpoint, Endpoint], by: str | None = None) -> str:
    """What speaks RDMA at both ends: what was asked for, or what they have."""
    kernel = {e.host: lab[e.host].rdma in KERNEL for e in ends}
    if by is None:
        if len(set(kernel.values())) > 1:
            verbs, other = sorted(kernel, key=lambda name: not kernel[name])
            raise UsageError(f"{verbs} has verbs and {other} the userspace endpoint, allowed are two hosts of one kind")
        by = "verbs" if all(kernel.values()) else "endpoint"
    for name, has_verbs in kernel.items():
        if by == "verbs" and not has_verbs:
            raise UsageError(
                f"--with verbs: {name} has none (`hosts: {{rdma: verbs}}` in the intent gives it a device)"
            )
        if by == "endpoint" and has_verbs:
            raise UsageError(f"--with endpoint: on {name} the kernel speaks RDMA (allowed: --with verbs)")
    return by


def verbs_job(ends: tuple[Endpoint, Endpoint], **what: Any) -> verbs.Job:
    """A transfer by the kernels of these two (see `verbs.Job`), if it is one that they make."""
    from closet.traffic.measure import LEAST, LONGEST
    from closet.traffic.verbs import Job

    job = Job(**what)
    for end in ends:
        if end.port is None:
            raise UsageError(f"{end.host}/lo: verbs speak from NICs, allowed is one of them, such as {end.host}/eth1")
    if job.messages < LEAST:
        raise UsageError(f"--messages {job.messages}: perftest sends {LEAST} or more")
    if not 1 <= job.size <= LONGEST:
        raise UsageError(f"--size {job.size}: perftest and Soft-RoCE take messages of 1 to {LONGEST} bytes")
    return job


def qps_(n: int) -> str:
    """So many queue pairs."""
    return f"{n} QPs" if n != 1 else "1 QP"


def bytes_(n: int) -> str:
    """So many bytes, in the largest unit that takes no fraction."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= factor and n % factor == 0:
            return f"{n // factor} {unit}"
    return f"{n} B"
