"""The claim about congestion points, judged by their counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from closet.records import Finding, Marks


def marking(observed: Mapping[str, Mapping[str, Marks]]) -> Iterator[Finding]:
    """A switch with a port that was congested and did not mark all that was beyond its threshold. Pure.

    Args:
        observed: switch → port → what it counted.
    """
    for switch, ports in observed.items():
        for port, its in ports.items():
            if its.marked != its.beyond:
                yield Finding(switch, f"ECN on {port}", f"{its.beyond} packets marked", str(its.marked))
