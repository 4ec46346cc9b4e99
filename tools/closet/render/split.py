"""One integrated frr.conf → the file each daemon reads at its start.

`vtysh -b` would hand out the same lines later, but bgpd then holds back every session for a second
(FRR bgpd/bgpd.c: BGP_POST_CONFIG_DELAY_SECONDS). A line this module does not know goes to every daemon:
the one it is for takes it, the others log it and go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

ALL = ("zebra.conf", "bgpd.conf", "bfdd.conf", "staticd.conf")
"""mgmtd reads zebra.conf and staticd.conf too, and hands those daemons what it manages for them."""

COMMON = ("frr ", "hostname ", "log ")
"""First words of what every daemon takes, and none needs a file for."""

REMEMBERED = 1024
"""Configurations whose parts are kept: a change renders two plans, and most nodes are the same in both."""

OWNERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("service ", ()),  # vtysh's own
    ("interface ", ("zebra.conf",)),
    ("vrf ", ("zebra.conf", "staticd.conf")),
    ("zebra ", ("zebra.conf",)),
    ("ip forwarding", ("zebra.conf",)),
    ("ipv6 forwarding", ("zebra.conf",)),
    ("ip protocol ", ("zebra.conf",)),
    ("ipv6 protocol ", ("zebra.conf",)),
    ("ip nht ", ("zebra.conf",)),
    ("nexthop-group ", ("zebra.conf",)),
    ("ip prefix-list ", ("zebra.conf", "bgpd.conf")),
    ("ipv6 prefix-list ", ("zebra.conf", "bgpd.conf")),
    ("access-list ", ("zebra.conf", "bgpd.conf")),
    ("route-map ", ("zebra.conf", "bgpd.conf")),
    ("ip route ", ("staticd.conf",)),
    ("ipv6 route ", ("staticd.conf",)),
    ("router bgp ", ("bgpd.conf",)),
    ("bgp ", ("bgpd.conf",)),
    ("bfd", ("bfdd.conf",)),
)
"""First words of a top-level line or block → the files it belongs to."""


@lru_cache(REMEMBERED)
def split(frr_conf: str) -> Mapping[str, str]:
    """File name → its part of an integrated configuration; a file nothing is for in particular is left out."""
    files: dict[str, list[str]] = {name: [] for name in ALL}
    wanted = {"zebra.conf", "bgpd.conf"}  # these always run
    for block in _blocks(frr_conf):
        owners = _owners(block)
        wanted |= set(owners) if not block[0].startswith(COMMON) else set()
        for name in owners:
            files[name] += _part(block, name)
    return {name: "\n".join(lines) + "\n" for name, lines in files.items() if lines and name in wanted}


def _owners(block: list[str]) -> tuple[str, ...]:
    words = block[0].removeprefix("no ")
    files = next((files for first, files in OWNERS if words.startswith(first)), ALL)
    if words.startswith("vrf ") and not any(" route " in line for line in block):
        return tuple(name for name in files if name != "staticd.conf")
    return files


def _part(block: list[str], name: str) -> list[str]:
    """Of a VRF's lines, static routes are staticd's and all others zebra's; every other block goes out whole."""
    if not block[0].startswith("vrf "):
        return block
    return [line for line in block if not line[0].isspace() or (" route " in line) == (name == "staticd.conf")]


def _blocks(text: str) -> Iterator[list[str]]:
    """Top-level lines, each with the indented lines and the `exit` that follow it; comments are left out."""
    block: list[str] = []
    for raw in text.splitlines():
        line = raw.rstrip()
        if not line.strip() or line.lstrip().startswith("!"):
            continue
        inside = line[0].isspace() or line.startswith(("exit", "end"))
        if not inside and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block
