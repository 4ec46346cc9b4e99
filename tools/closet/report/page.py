"""Plan and results → one HTML page that says to anybody whether the fabric does what its design promises.

Self-contained: nothing in it is fetched from anywhere, and no script runs. It is read on a screen, light or dark, or
printed, and may be kept with a ticket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup

from closet.check import CHECKS
from closet.expect.matrix import ALLOWED, expected_matrix, place_of
from closet.expect.pairs import sampled
from closet.plan import DEFAULT_VRF, Fabric, Peering, Tenant
from closet.plan.tenant import Space
from closet.render.environment import templates
from closet.report.graph import svg
from closet.report.svg import tenant_classes
from closet.suite import Result

MOST = 100
"""Findings of one check that are listed; of the others, how many."""

TEMPLATES = templates("closet.report", autoescape=True)


def page(fabric: Fabric, results: Sequence[Result], *, runtime: str, when: datetime) -> str:
    """The page.

    Args:
        fabric: the plan the lab was judged by.
        results: of the checks that ran.
        runtime: what the lab runs on, in words.
        when: the checks ran.
    """
    findings, errors = sum(len(r.findings) for r in results), sum(bool(r.error) for r in results)
    ill = {f.device.partition("/")[0] for r in results for f in r.findings}
    faulty = {(f.device, f.subject.split()[-1]) for r in results for f in r.findings if f.subject}
    ran = {r.check for r in results}
    picture = svg(fabric, marks=dict.fromkeys(sorted(ill), "bad"), faulty=faulty)
    return TEMPLATES.get_template("page.html.j2").render(
        fabric=fabric,
        results=results,
        runtime=runtime,
        when=when.strftime("%Y-%m-%d %H:%M %Z").strip(),
        findings=findings,
        errors=errors,
        claims=sum(r.claims for r in results),
        seconds=sum(r.seconds for r in results),
        known=len(CHECKS.keys() | ran),
        state="bad" if findings else "warn" if errors or CHECKS.keys() - ran else "ok",
        most=MOST,
        picture=Markup(picture),  # noqa: S704  escaped where it is made
        colours=tenant_classes(list(fabric.tenants)),
        tenants=[(t, sum(len(s.hosts) for s in t.subnets)) for t in fabric.tenants.values()],
        peerings=[(p, _arrow(p), _space(p.exported(p.one)), _space(p.exported(p.other))) for p in fabric.peerings],
        matrix=_matrix(fabric, results),
        whereabouts={n.name: n.vrf if n.vrf != DEFAULT_VRF else str(n.block or "") for n in fabric},
        permits=_permits,
    )


def _arrow(peering: Peering) -> str:
    return "→" if all(p.one_way for p in peering.permits) else "↔"


def _space(space: Space) -> str:
    return " ".join(map(str, space[:3])) + (f" and {len(space) - 3} more" if len(space) > 3 else "")


def _permits(tenant: Tenant) -> str:
    return "; ".join(" and ".join(sorted(names)) for names in tenant.permit)


@dataclass(slots=True)
class Cell:
    """What hosts of one place may do with those of another, and whether they do.

    Attributes:
        pairs: ordered pairs of endpoints, by whether they may talk.
        wrong: pairs with a finding.
    """

    pairs: Counter[bool] = field(default_factory=Counter)
    wrong: int = 0

    @property
    def word(self) -> str:
        """What the design says."""
        if not self.pairs.total():
            return ""
        return "meet" if not self.pairs[False] else "apart" if not self.pairs[True] else "some meet"

    @property
    def state(self) -> str:
        """A class for its colour."""
        return "bad" if self.wrong else self.word.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who may talk to whom, by tenant and subnet.

    Attributes:
        judged: whether the check of it ran to its end.
        sampled: whether there are too many pairs to try each.
        rows: source → a cell for every target, in the order of `places`.
    """

    judged: bool
    sampled: bool
    places: list[str]
    rows: list[tuple[str, list[Cell]]]

    @property
    def wrong(self) -> bool:
        """Whether any pair was not as it must be."""
        return any(cell.wrong for _, cells in self.rows for cell in cells)


def _matrix(fabric: Fabric, results: Sequence[Result]) -> Matrix | None:
    """The matrix, None for a fabric without tenants."""
    expected = expected_matrix(fabric)
    if not expected:
        return None
    result = next((r for r in results if r.check == "matrix"), None)
    wrong = {(f.device, f.subject) for f in result.findings} if result else set()
    places = list(dict.fromkeys(_places(fabric)))
    cells = {(a, b): Cell() for a in places for b in places}
    pairs: dict[tuple[object, object], tuple[Cell, bool, bool]] = {}
    for probe, may in expected.items():
        cell = cells[place_of(fabric, probe.source.host), place_of(fabric, probe.target.host)]
        _, _, found = pairs.get((probe.source, probe.target), (cell, False, False))
        found = found or (str(probe.source), str(probe)) in wrong
        pairs[probe.source, probe.target] = (cell, may == ALLOWED, found)
    for cell, may_talk, found in pairs.values():
        cell.pairs[may_talk] += 1
        cell.wrong += found
    judged = result is not None and not result.error
    return Matrix(judged, sampled(fabric), places, [(a, [cells[a, b] for b in places]) for a in places])


def _places(fabric: Fabric) -> Iterator[str]:
    """Tenants and their subnets as the intent has them, then the underlay."""
    yield from (place_of(fabric, h) for t in fabric.tenants.values() for h in t.hosts)
    yield from (place_of(fabric, h.name) for h in fabric.hosts)
