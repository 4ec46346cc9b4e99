"""A node goes from one plan to another: its devices, its filters and its FRR, in the order that breaks nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path as Folder

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_message,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from closet.change.delta import Path, delta
from closet.change.step import Step
from closet.errors import ProbeError, RuntimeFault
from closet.observe import frr
from closet.observe.frr import config_paths
from closet.observe.vty import ask
from closet.plan import Fabric
from closet.render import Files
from closet.runtime.boot import FRR, daemon_lines
from closet.runtime.node import LiveNode
from closet.runtime.state import write_atomically

PATIENCE = 5.0
"""Seconds for daemons to agree on something that one of them knows."""
BUFFERS = (65536, 98304)
"""Bytes, none of them zebra's default (FRR zebra/kernel_netlink.c: NL_DEFAULT_BATCH_BUFSIZE)."""
NOWHERE = "192.0.2.255/32"
"""A route nobody has (RFC 5737): for zebra to have something to do."""
QUEUE_LENGTHS = (1001, 1000)
"""Packets; the second is what a veth has from the kernel. Any change of a port makes zebra tell of it."""
DAEMONS = "mgmtd zebra bgpd bfdd staticd"
LOCKED = "could not lock running DS"
"""What vtysh says while mgmtd brings a daemon up to date (FRR mgmtd/mgmt_txn.c: mgmt_txn_notify_be_adapter_conn)."""


def move(live: LiveNode, step: Step, new: Fabric, *, restart: bool = False) -> None:
    """Take a node to its new plan. Ports that moved are down at the end.

    Args:
        restart: start FRR anew, instead of telling it what changes.

    Raises:
        RuntimeFault, ProbeError: something was refused, or took too long.
    """
    write_files(live.folder / "frr", step.before, step.after)
    if not restart:
        _configure(live, step.delta.leave)
        if step.delta.drop:
            _soon(lambda: _configure(live, step.delta.drop))
    _script(live, step.rewire.leave())
    for vrf in step.rewire.dropped:
        _forget(live, vrf, running=not restart)
    if step.delta.forget and not restart:
        _soon(lambda: _configure(live, step.delta.forget))
    _script(live, step.rewire.arrive(new))
    _script(live, step.rewire.reload())
    if restart:
        restart_daemons(live, new)
        return
    _staticd(live, step, new)
    for tenant in step.rewire.make:
        _soon(lambda vrf=tenant.name: _knows(live, vrf))  # type: ignore[misc]
    _arrive(live, step, new)
    for vrf, port in step.delta.statics:
        _nudge(live, vrf, port)


def _nudge(live: LiveNode, vrf: str, port: str) -> None:
    """Have zebra say of a port that it is up.

    Of a route by a next hop that another route of the VRF has, staticd 10.3 tells zebra nothing before that
    (staticd/static_zebra.c: static_zebra_nht_register).
    """
    where = ("-n", vrf) if live.has_namespace(vrf) else ()
    for length in QUEUE_LENGTHS:
        live.run("ip", *where, "link", "set", port, "txqueuelen", str(length))


def write_files(folder: Folder, before: Files, after: Files) -> None:
    """Put a node's files in place of those it had."""
    for name in before.keys() - after.keys():
        (folder / name).unlink(missing_ok=True)
    for name, text in after.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)


def _configure(live: LiveNode, lines: list[str]) -> None:
    if lines:
        live.vtysh("configure terminal", *lines)


def _arrive(live: LiveNode, step: Step, new: Fabric) -> None:
    """Say what comes. Where mgmtd is busy with a daemon that has just started, go on from where FRR is by then."""
    todo = step.delta

    def say() -> None:
        _configure(live, todo.arrive)

    def go_on(_: RetryCallState) -> None:
        nonlocal todo
        todo = delta(runs(live, new), config_paths(step.after["frr.conf"]))

    Retrying(
        stop=stop_after_delay(PATIENCE),
        wait=wait_fixed(0.03),
        retry=retry_if_exception_message(match=f".*{LOCKED}"),
        before_sleep=go_on,
        reraise=True,
    )(say)


def runs(live: LiveNode, fabric: Fabric) -> list[Path]:
    """The configuration FRR runs.

    Raises:
        ProbeError: a daemon does not answer.
    """
    return sorted(tuple(line.split(" / ")) for line in frr.running_config(live, fabric))


def _script(live: LiveNode, text: str) -> None:
    if text:
        live.run("sh", "-s", stdin=text)


def _soon(attempt: Callable[[], None]) -> None:
    """Try until it succeeds: daemons tell each other what they know, but not at once."""
    try:
        Retrying(stop=stop_after_delay(PATIENCE), wait=wait_fixed(0.03), retry=retry_if_exception_type(ProbeError))(
            attempt
        )
    except RetryError as e:
        raise RuntimeFault(f"{e.last_attempt.exception()} (tried for {PATIENCE:g} s)") from None


def _knows(live: LiveNode, vrf: str) -> None:
    """See that zebra has taken up a VRF."""
    if not re.search(rf"^vrf {re.escape(vrf)} (?!inactive)", ask(live, "zebra", "show vrf")[0], re.MULTILINE):
        raise ProbeError(f"{live.name}: zebra: VRF {vrf}: expected active, observed otherwise")


def _forget(live: LiveNode, vrf: str, *, running: bool) -> None:
    """Take away the name of a namespace that is a VRF; FRR 10.3's zebra survives it only with help.

    When a namespace goes, zebra frees the buffer it sends to the kernel from (zebra/kernel_netlink.c:
    kernel_terminate), which all namespaces share, and dies of the next route. It makes a new one where the
    configured size is another than that of the last (nl_batch_init): so the size changes before and after, a route
    of nobody's has it used, and then it is what it was.
    """
    name = live.root / "run" / "netns" / vrf
    if not name.is_symlink():
        return  # VRFs are devices here, or it is gone already
    if not running:
        name.unlink()
        return
    _buffer(live, BUFFERS[0])
    name.unlink()
    _soon(lambda: _knows_not(live, vrf))
    _buffer(live, BUFFERS[1])
    before = _sent(live)
    live.run("ip", "route", "add", "blackhole", NOWHERE)
    try:
        _soon(lambda: _has_sent(live, before))
    finally:
        live.run("ip", "route", "del", "blackhole", NOWHERE)
    ask(live, "zebra", "configure terminal", "no zebra kernel netlink batch-tx-buf")


def _buffer(live: LiveNode, size: int) -> None:
    ask(live, "zebra", "configure terminal", f"zebra kernel netlink batch-tx-buf {size} {size // 2}")


def _knows_not(live: LiveNode, vrf: str) -> None:
    if re.search(rf"^vrf {re.escape(vrf)} (?!inactive)", ask(live, "zebra", "show vrf")[0], re.MULTILINE):
        raise ProbeError(f"{live.name}: zebra: VRF {vrf}: expected gone, observed active")
    with suppress(ProbeError):  # it may have nothing to do here
        ask(live, "staticd", "show version")  # by then it has heard of it


def _sent(live: LiveNode) -> int:
    """What zebra has passed on to the kernel."""
    found = re.search(r"Kernel.*?out: (\d+)", ask(live, "zebra", "show zebra dplane providers")[0])
    return int(found[1]) if found else 0


def _has_sent(live: LiveNode, before: int) -> None:
    if _sent(live) <= before:
        raise ProbeError(f"{live.name}: zebra: expected a route on its way to the kernel, observed none")


def _staticd(live: LiveNode, step: Step, new: Fabric) -> None:
    """Start or end staticd, which runs only where there is something for it."""
    was, will = ("staticd.conf" in files for files in (step.before, step.after))
    if will and not was:
        line = next(line for line in daemon_lines(new, step.node) if "/staticd " in line)
        live.run("sh", "-c", f"({line[line.index(f'{FRR}/staticd') :].rstrip(' ;}')}) </dev/null >/dev/null 2>&1")
    elif was and not will:
        live.run("pkill", "-x", "staticd", check=False)


def restart_daemons(live: LiveNode, fabric: Fabric) -> None:
    """End a node's daemons and start them with the files it has. Its hosts lose packets meanwhile.

    Raises:
        ProbeError: one would not start.
    """
    live.run("pkill", "-KILL", "-x", DAEMONS.replace(" ", "|"), check=False)
    _soon(lambda: _all_gone(live))
    for line in daemon_lines(fabric, fabric[live.name]):
        live.run("sh", "-c", f"({line}) </dev/null >/dev/null 2>&1")


def _all_gone(live: LiveNode) -> None:
    if live.run("pgrep", "-x", DAEMONS.replace(" ", "|"), check=False).returncode == 0:
        raise ProbeError(f"{live.name}: FRR: expected ended, observed running")
