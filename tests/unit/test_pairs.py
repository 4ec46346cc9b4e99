"""Who is asked for whom: all of few, and of many some that stand for the others."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.expect import endpoints
from closet.expect.pairs import MOST_PAIRS, allowed, leaves_of, pairs, sampled
from closet.intent import loads
from closet.plan import Fabric, plan
from closet.records import Endpoint

PREFIX = "10.64.0.0/24"


@st.composite
def tenancies(draw) -> Fabric:
    """Hosts of two to four leaves, each in the underlay or in one of up to four tenants, which may peer."""
    leaves, per_leaf, nics = draw(st.integers(2, 4)), draw(st.integers(2, 4)), draw(st.integers(1, 2))
    seats: dict[tuple[int, int], list[str]] = {}
    for host in (f"h{leaf}-{n}" for leaf in range(1, leaves + 1) for n in range(1, per_leaf + 1)):
        seats.setdefault((draw(st.integers(0, 4)), draw(st.integers(0, 1))), []).append(host)
    lines = []
    there = sorted({tenant for tenant, _ in seats} - {0})
    overlap = draw(st.booleans())
    for tenant in there:
        split = draw(st.booleans())
        parts = {n: seats[tenant, n] for n in (0, 1) if (tenant, n) in seats}
        words = [f"isolated: {str(draw(st.booleans())).lower()}"]
        if split:
            its = ", ".join(f"s{n}: {{hosts: [{', '.join(hosts)}]}}" for n, hosts in parts.items())
            words += [f"subnets: {{{its}}}", f"restricted: {str(draw(st.booleans())).lower()}"]
        else:
            words.append(f"hosts: [{', '.join(chain(*parts.values()))}]")
            words += [f"prefix: {PREFIX}"] if overlap else []
        lines.append(f"  t{tenant}: {{{', '.join(words)}}}")
    text = f"name: x\nleaves: {leaves}\nhosts: {{per_leaf: {per_leaf}, nics: {nics}}}\n"
    text += "\n".join(["tenants:", *lines, ""]) if lines else ""
    if len(there) > 1 and not overlap:
        one, other = draw(st.permutations(there))[:2]
        way = draw(st.sampled_from(["{between: [t%d, t%d]}", "{from: t%d, to: t%d}"])) % (one, other)
        text += f"peerings: [{way}]\n"
    return plan(loads(text))


def holds(fabric: Fabric, some: list[Endpoint], asked: set[tuple[Endpoint, Endpoint]]) -> None:
    """Each asks one it may talk to and one it may not behind every set of leaves that has such, no host its own."""
    vrf = {h.name: h.vrf for h in fabric.hosts}
    for a in some:
        there: dict[tuple[object, ...], bool] = {}
        for b in some:
            if b.host != a.host:
                same = vrf[a.host] == vrf[b.host]
                taken = not same and b.address in {
                    e.address for e in chain(*endpoints(fabric)) if vrf[e.host] == vrf[a.host]
                }
                there.setdefault((leaves_of(fabric, b), allowed(fabric, a, b), same, taken), False)
                if (a, b) in asked:
                    there[leaves_of(fabric, b), allowed(fabric, a, b), same, taken] = True
        assert all(there.values()), (a, there)


@given(fabric=tenancies())
def test_each_asks_behind_every_leaf_one_it_may_talk_to_and_one_of_each_it_may_not(fabric: Fabric):
    vips, nics = endpoints(fabric)
    every, some = list(pairs(fabric)), list(pairs(fabric, most=0))
    assert set(some) <= set(every)
    assert len(some) == len(set(some))
    for its in (vips, nics):
        asked = {(a, b) for a, b in some if (a.port is None) == (its is vips)}
        holds(fabric, its, asked)
        behind = {leaves_of(fabric, e) for e in its}
        assert len(asked) <= 8 * len(its) * len(behind)
        assert {b for _, b in asked} == set(its) or len(behind) < 2, "nobody is left out"


@given(fabric=infer)
def test_where_all_may_meet_each_asks_one_behind_every_leaf(fabric: Fabric):
    some = list(pairs(fabric, most=0))
    for its in endpoints(fabric):
        for a in its:
            there = [leaves_of(fabric, b) for b in its if b.host != a.host]
            assert sorted(leaves_of(fabric, b) for s, b in some if s == a) == sorted(set(there))


def test_few_are_asked_one_by_one():
    fabric = plan(loads("name: x\nleaves: 6\nhosts: {per_leaf: 4}\n"))
    assert len(list(pairs(fabric))) == 2 * 24 * 23
    assert not sampled(fabric)


TENANTS = "tenants:\n" + "".join(f"  t{i}: {{hosts: ['h*-{i}']}}\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("words", "each"),
    [
        (f"leaves: 32\nhosts: {{per_leaf: 8}}\n{TENANTS}", 32 * 2 - 1),  # a tenant of every leaf: none of it on its own
        ("leaves: 16\nhosts: {per_leaf: 8, nics: 2}\n", 16),
    ],
)
def test_a_stride_that_fits_the_leaves_leaves_nobody_out(words: str, each: int):
    """Of tenants of every leaf, and of several NICs a host: whatever repeats as leaves do."""
    fabric = plan(loads(f"name: x\n{words}"))
    assert sampled(fabric)
    for its in endpoints(fabric):
        if len(its) * (len(its) - 1) <= MOST_PAIRS:
            continue
        asked = [(a, b) for a, b in pairs(fabric) if (a.port is None) == (its[0].port is None)]
        assert len(asked) == each * len(its)
        denied = {(fabric[a.host].vrf, fabric[b.host].vrf) for a, b in asked if not allowed(fabric, a, b)}
        assert len(denied) == len(fabric.tenants) * (len(fabric.tenants) - 1 if fabric.tenants else 0)
        assert {b for _, b in asked} == set(its)
