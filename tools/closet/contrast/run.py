"""The comparison: one fabric after the other, each up, measured and down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from closet.contrast import design
from closet.contrast.measure import measure
from closet.contrast.results import Side
from closet.contrast.stretch import stretch
from closet.errors import RuntimeFault, UsageError
from closet.intent import loads
from closet.lab import Lab, up
from closet.takedown import down


def compare(
    *, spines: int, leaves: int, per_host: list[int], runtime: str, say: Callable[[str], None]
) -> tuple[Side, Side]:
    """Measure the routed fabric, and the stretched one.

    Args:
        per_host: endpoints to have behind each host of the first tenant, the fewest first.

    Raises:
        UsageError: a lab of that name runs. ClosetError: one did not come up, or could not be measured.
    """
    with _lab(design.routed(spines, leaves), runtime, say) as lab:
        routed = measure(lab, lambda host: host.loopback, per_host, say)
    with _lab(design.underlay(spines, leaves), runtime, say) as lab:
        say(f"{lab.name}: joining ports to bridges")
        stretch(lab)
        fabric = lab.fabric
        stretched = measure(lab, lambda host: design.address(fabric, host).ip, per_host, say)
    return routed, stretched


@contextmanager
def _lab(intent: str, runtime: str, say: Callable[[str], None]) -> Iterator[Lab]:
    """A lab that is as planned, for as long as the context lasts."""
    words = loads(intent)
    say(f"{words.name}: up")
    lab = up(words, runtime=runtime)
    if not lab.fresh:
        raise UsageError(f"lab {lab.name}: runs already (allowed: `closet down {lab.name}` first)")
    try:
        if failed := [r for r in lab.results if not r.passed]:
            raise RuntimeFault(f"lab {lab.name}: {failed[0].error or failed[0].findings[0]}")
        yield lab
    finally:
        down(lab.name)
