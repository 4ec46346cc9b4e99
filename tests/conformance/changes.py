"""Changes to a running fabric, each a context that takes itself back, and waits with deadlines."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pyroute2 import IPRoute
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from closet.lab import Lab
from closet.plan import DEFAULT_VRF, Link
from closet.runtime.boot import phases

T = TypeVar("T")
QUICK = ("daemons", "config", "sessions", "rib", "fib", "links", "settings")


def eventually(look: Callable[[], T], seconds: float = 30.0) -> T:
    """Call `look` until its assertions hold; at the deadline, its last failure is the test's."""
    try:
        return Retrying(
            stop=stop_after_delay(seconds), wait=wait_fixed(0.1), retry=retry_if_exception_type(AssertionError)
        )(look)
    except RetryError as e:
        raise e.last_attempt.exception() from None


def wait_until_clean(lab: Lab) -> None:
    """Until the fabric is as planned again."""

    def look() -> None:
        found = [str(f) for r in lab.check(*QUICK) for f in (r.findings or ([r.error] if r.error else []))]
        assert found == []

    eventually(look)


@contextmanager
def setting(lab: Lab, node: str, name: str, value: int) -> Iterator[None]:
    """A kernel setting with another value."""
    path = "/proc/sys/" + name.replace(".", "/")
    before = lab[node].run("cat", path).stdout.strip()
    lab[node].run("sh", "-c", f"echo {value} > {path}")
    try:
        yield
    finally:
        lab[node].run("sh", "-c", f"echo {before} > {path}")


@contextmanager
def port_settings(lab: Lab, node: str, vrf: str, port: str, **values: int) -> Iterator[None]:
    """Kernel settings of a port, and those of IPv4 of all ports, too: `ipv4__arp_accept=1`, with `__` for the slash."""
    before: dict[str, str] = {}

    def set_(path: str, value: object) -> None:
        inside(lab, node, vrf, "sh", "-c", f"echo {value} > {path}")

    try:
        for name, value in values.items():
            family, _, word = name.partition("__")
            for where in ("all", port) if family == "ipv4" else (port,):
                path = f"/proc/sys/net/{family}/conf/{where}/{word}"
                before[path] = inside(lab, node, vrf, "cat", path).strip()
                set_(path, value)
        yield
    finally:
        for path, old in before.items():
            set_(path, old)


@contextmanager
def link_down(lab: Lab, link: Link, *, lower: bool = False) -> Iterator[None]:
    """A link with its upper, or lower, end down: both ends of the cable lose carrier, outside of a microVM, too."""
    node, port = (link.b, link.b_port) if lower else (link.a, link.a_port)

    def set_(state: str) -> None:
        with lab[node].netns(vrf_of(lab, node, port)), IPRoute() as ipr:
            ipr.link("set", index=socket.if_nametoindex(port), state=state)

    set_("down")
    try:
        yield
    finally:
        set_("up")


def vrf_of(lab: Lab, node: str, port: str) -> str:
    """The VRF a port is in on its node: a host has one only, whatever its leaf calls it."""
    return DEFAULT_VRF if lab.fabric[node].is_host else lab.fabric[node].port(port).vrf


@contextmanager
def vtysh(lab: Lab, node: str, change: list[str], revert: list[str]) -> Iterator[None]:
    """A configuration change by vtysh, and the lines that take it back."""
    lab[node].vtysh("configure terminal", *change)
    try:
        yield
    finally:
        lab[node].vtysh("configure terminal", *revert)


@contextmanager
def daemon_killed(lab: Lab, node: str, daemon: str) -> Iterator[None]:
    """A daemon that died, and is started again as at boot."""
    commands = " && ".join(phases(lab.fabric, lab.fabric[node])).split(" && ")
    start = next(c for c in commands if f"/{daemon} -d" in c)
    lab[node].run("pkill", "-KILL", "-x", daemon)
    try:
        yield
    finally:
        lab[node].run("sh", "-c", f"({start}) </dev/null >/dev/null 2>&1")


def inside(lab: Lab, node: str, vrf: str, *command: str, stdin: str | None = None) -> str:
    """What a command prints where the devices of a VRF are."""
    return lab[node].run(*command, vrf=vrf, stdin=stdin).stdout


@contextmanager
def rules(lab: Lab, node: str, vrf: str, table: str, file: str, lines: tuple[str, ...]) -> Iterator[None]:
    """Other lines in an nftables table where the devices of a VRF are; afterwards it is as its file says."""
    anew = f'table inet {table}\ndelete table inet {table}\ninclude "{file}"\n'
    try:
        inside(lab, node, vrf, "nft", "-f", "-", stdin="".join(f"{line}\n" for line in lines))
        yield
    finally:
        inside(lab, node, vrf, "nft", "-f", "-", stdin=anew)
