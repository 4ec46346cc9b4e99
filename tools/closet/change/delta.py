"""From the configuration FRR runs to the one it is to run: the lines to say, in an order that breaks nothing.

frr-reload.py does the like for any configuration. It goes on with shorter `no` lines where one is refused (so that
`no router bgp 65001 vrf red` ends as `no router bgp`), and says nothing of it; and it knows nothing of what must
happen between two lines. Here every line is known, since closet wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Path = tuple[str, ...]
"""A line behind the headings of the blocks it is in."""

HOLD = "bgp route-map delay-timer 600"
"""Seconds until bgpd looks at what changed in a filter: it looks at once when this is set to 0 again, and then at
all of it together. Line by line, it would withdraw what an unfinished filter does not let pass."""
RELEASE = "bgp route-map delay-timer 0"

SETTINGS = tuple(
    re.compile(p)
    for p in (
        r"(bgp router-id) ",
        r"(coalesce-time) ",
        r"(maximum-paths) ",
        r"(neighbor \S+ default-originate)",
        r"(neighbor \S+ maximum-prefix) ",
        r"(neighbor \S+ route-map) \S+ (in|out)",
        r"(advertise ipv4 unicast)",
        r"(set src) ",
        r"(match ip address prefix-list) ",
    )
)
"""Lines that take the place of one that begins (and ends) alike."""
PEER = re.compile(r"neighbor (\S+) (interface )?peer-group \S+")
"""A neighbour; all its other lines go with it."""
STATIC = re.compile(r"ip route \S+ \S+ (\S+) onlink")
"""A route to a peer: network, gateway, port."""
GROUP = re.compile(r"neighbor (\S+) peer-group$")
DEFINITIONS = ("ip prefix-list ", "route-map ", "bgp as-path access-list ")
"""What others refer to by name; it comes before them, and goes after them."""
WHOLE = ("router bgp ", "route-map ", "vrf ", "interface ")
"""Blocks that go as a whole; of others, line by line."""
LISTS = ("ip prefix-list ", "bgp as-path access-list ")


@dataclass(slots=True)
class Delta:
    """Lines for `configure terminal`, in four parts.

    Attributes:
        leave: neighbours, L3VNIs and static routes that go.
        drop: BGP instances of VRFs that go, which bgpd gives up only when their L3VNI is gone.
        forget: VRFs, whose devices must be gone, and before each the ports it had.
        arrive: all the rest, when the devices of what comes are there.
        statics: (VRF, port) of static routes among that.
    """

    leave: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    arrive: list[str] = field(default_factory=list)
    statics: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.leave or self.drop or self.forget or self.arrive)


def delta(have: Sequence[Path], want: Sequence[Path], reborn: Collection[str] = ()) -> Delta:
    """What leads from `have` to `want`.

    Args:
        reborn: VRFs that go and come again: all they have is taken away first, even where it is the same.
    """
    again = {p for p in want if _vrf(p[0]) in reborn}
    stay = ({*have} & {*want}) - again
    gone = [p for p in have if p not in stay]
    new = [p for p in want if p not in stay]
    dead = [p[0] for p in gone if len(p) == 1 and p[0].startswith(WHOLE)]
    found = Delta()
    instances = [p for p in gone if p[0].startswith("router bgp ")]
    vrfs = [p for p in gone if p[0].startswith("vrf ") and len(p) > 1]
    peers = [p for p in instances if PEER.fullmatch(p[-1])]
    found.leave = [*_say((*p[:-1], _no_peer(p[-1])) for p in peers), *_say((*p[:-1], _no(p[-1])) for p in vrfs)]
    found.drop = [_no(h) for h in dead if h.startswith("router bgp ")]
    forgotten = {_vrf(h) for h in dead if h.startswith("vrf ")}
    ports = [h for h in dead if h.startswith("interface ")]
    found.forget = [_no(h) for h in ports if _vrf(h) in forgotten] + [_no(h) for h in dead if h.startswith("vrf ")]
    parents = _parents(new)
    rest = [p for p in gone if p[0] not in dead and p not in vrfs and len(p) > 1]
    lines = [
        *(_no(h) for h in ports if _vrf(h) not in forgotten),  # they are in another VRF by now
        *_say(_removed_entries(gone, want)),
        *_say(p for p in new if p[0].startswith(DEFINITIONS) and p not in parents),
        *_say(_removed(rest, new)),
        *_say(p for p in new if not p[0].startswith(DEFINITIONS) and p not in parents),
        *_say(_removed_definitions(gone, want)),
    ]
    found.arrive = [HOLD, *lines, RELEASE] if lines else []
    found.statics = [(_vrf(p[0]), m[1]) for p in new if (m := STATIC.fullmatch(p[-1])) and len(p) > 1]
    return found


def _vrf(heading: str) -> str:
    """The VRF a block is about, if any."""
    words = heading.split()
    return words[words.index("vrf") + 1] if "vrf" in words[:-1] else ""


def _parents(paths: Iterable[Path]) -> set[Path]:
    """Headings of other lines in the same collection: they are said with those."""
    return {p[:i] for p in paths for i in range(1, len(p))}


def _no(line: str) -> str:
    return line[3:] if line.startswith("no ") else f"no {line}"


def _no_peer(line: str) -> str:
    """Without a neighbour: of one that is called by its address, `peer-group` would only take it out of that."""
    match = PEER.fullmatch(line)
    return _no(line) if match is None or match[2] else f"no neighbor {match[1]}"


def _removed_entries(gone: Iterable[Path], want: Iterable[Path]) -> Iterator[Path]:
    """Entries of lists that stay: FRR takes no entry that is in a list already, under another number."""
    kept = {_name(p[0]) for p in want}
    yield from ((_no(p[0]),) for p in gone if p[0].startswith(LISTS) and _name(p[0]) in kept)


def _removed_definitions(gone: Sequence[Path], want: Iterable[Path]) -> Iterator[Path]:
    """Route-maps that go, and then the lists."""
    kept = {_name(p[0]) for p in want}
    for first in ("route-map ", *LISTS):
        yield from ((_no(p[0]),) for p in gone if len(p) == 1 and p[0].startswith(first) and _name(p[0]) not in kept)


def _name(line: str) -> str:
    """Kind and name of a definition, without what is in it."""
    return re.split(r" (?:seq|permit|deny) ", line, maxsplit=1)[0]


def _removed(gone: Iterable[Path], new: Iterable[Path]) -> Iterator[Path]:
    """Lines inside of blocks that stay, but those that a new one takes the place of, or that go with another."""
    gone = list(gone)
    replaced = {(p[:-1], _setting(p[-1])) for p in new}
    heads = {(p[0], m[1]): p for p in gone if (m := PEER.fullmatch(p[-1]) or GROUP.fullmatch(p[-1]))}
    parents = _parents(gone)
    for p in gone:
        words = p[-1].split()
        goes_along = words[0] == "neighbor" and heads.get((p[0], words[1]), p) != p
        if not (goes_along or p in parents or PEER.fullmatch(p[-1]) or (p[:-1], _setting(p[-1])) in replaced):
            yield (*p[:-1], _no(p[-1]))


def _setting(line: str) -> tuple[str, ...]:
    """What a line sets; of most, itself."""
    for pattern in SETTINGS:
        if match := pattern.match(line):
            return match.groups()
    return (line,)


def _say(paths: Iterable[Path]) -> Iterator[str]:
    """Lines with the headings they need, and an `exit` from each block."""
    inside: Path = ()
    for path in paths:
        same = 0
        while same < min(len(inside), len(path) - 1) and inside[same] == path[same]:
            same += 1
        yield from ["exit"] * (len(inside) - same)
        yield from path[same:]
        inside = path[:-1]
    yield from ["exit"] * len(inside)
