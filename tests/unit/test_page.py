"""The page for people: whole, self-contained, and true to plan and results, whatever they are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.check import CHECKS
from closet.expect import expected_matrix
from closet.intent import loads
from closet.plan import Fabric, plan
from closet.records import Finding
from closet.report.page import MOST, page
from closet.suite import Result

WHEN = datetime(2026, 11, 21, 15, 4, tzinfo=UTC)
TENANTS = (
    "name: t\nleaves: 2\nhosts: {per_leaf: 4, nics: 2}\n"
    "tenants:\n  red: {hosts: [h?-1], prefix: 10.1.0.0/24}\n  blue: {hosts: [h?-2, 'h1-3:eth1'], restricted: true}\n"
    "  svc: {subnets: {a: {hosts: [h2-3]}, b: {hosts: [h1-4]}}, isolated: true}\n"
    "peerings: [{from: red, to: svc, subnets: {svc: [a]}}]\n"
)
FABRIC = plan(loads(TENANTS))
PROBES = expected_matrix(FABRIC)


def made(results: list[Result], fabric: Fabric = FABRIC) -> str:
    return page(fabric, results, runtime="oci runtime", when=WHEN)


def root(text: str) -> ElementTree.Element:
    """It is XML, too, so that what is left open is found."""
    return ElementTree.fromstring(text)


def said(text: str) -> str:
    return " ".join("".join(root(text).find("body").itertext()).split())


def matrix(*wrong: tuple[str, str, str], error: str = "") -> Result:
    """What the check of the matrix found: these probes wrong, as (protocol, source, target)."""
    chosen = [p for p in PROBES if (p.protocol, str(p.source), str(p.target)) in wrong]
    found = [Finding(str(p.source), str(p), "silence", "answered") for p in chosen]
    assert len(found) == len(wrong)
    return Result("matrix", "who meets whom", len(PROBES), found, 1.25, error)


def cells(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(row, column) → class and words of the matrix."""
    table = next(t for t in root(text).iter("table") if t.get("class") == "matrix")
    head, *rows = table.findall("tr")
    names = [c.text for c in head.findall("th")]
    return {
        (row.find("th").text, name): (cell.get("class", ""), " ".join(" ".join(cell.itertext()).split()))
        for row in rows
        for name, cell in zip(names, row.findall("td"), strict=True)
    }


GOOD = Result("fib", "routes are as planned", 70, [], 0.5)
BAD = Result("fib", "routes are as planned", 70, [Finding("leaf1", "FIB 10.0.0.1/32", "via eth1", "none")], 0.5)
ALL = [replace(GOOD, check=name) for name in CHECKS]
BROKEN = Result("reach", "hosts meet", 12, [], 0.1, "h1-1: cannot send")


@given(fabric=infer, results=st.lists(st.sampled_from([GOOD, BAD, BROKEN])))
def test_any_page_is_whole_and_needs_nothing_else(fabric: Fabric, results: list[Result]):
    text = made(results, fabric)
    words = said(text)
    for node in fabric:
        assert node.name in words
    assert set(re.findall(r"https?://[^\"]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|img|link|iframe|object|embed|base)\b|url\(|@import|\son\w+=", text)


@pytest.mark.parametrize(
    ("results", "state", "words"),
    [
        (ALL, "ok", f"✓ The fabric does what its design promises. All {len(ALL)} checks passed"),
        ([*ALL, replace(GOOD, check="own")], "ok", f"All {len(ALL) + 1} checks passed"),
        (
            [GOOD, matrix()],
            "warn",
            f"? Not all of it was judged. Nothing was found by 2 of {len(ALL)} checks; the others did not run.",
        ),
        ([GOOD, BAD], "bad", "✗ The fabric does not do what its design promises. 1 finding in 1 of 2 checks."),
        ([BAD, BAD, BROKEN], "bad", "2 findings in 2 of 3 checks; 1 could not be judged."),
        ([GOOD, BROKEN], "warn", "? Not all of it could be judged. 1 of 2 checks could not be carried out"),
        ([], "warn", "? Nothing was judged."),
    ],
)
def test_the_verdict_is_that_of_the_results(results, state, words):
    text = made(results)
    assert words in said(text)
    verdict = next(d for d in root(text).iter("div") if d.get("class", "").startswith("verdict"))
    assert verdict.get("class") == f"verdict {state}"
    assert "oci runtime · 2026-11-21 15:04 UTC" in said(text)


def test_a_finding_is_listed_and_its_device_is_red_in_the_picture():
    text = made([BAD, BROKEN])
    assert "leaf1 FIB 10.0.0.1/32 via eth1 none" in re.sub(r"\s+", " ", " ".join(root(text).find("body").itertext()))
    assert "Could not be judged: h1-1: cannot send" in said(text)
    assert "✗ fib: routes are as planned" in said(text)
    assert "? reach: hosts meet" in said(text)
    assert 'class="node leaf bad"' in text
    assert 'class="node leaf bad"' not in made([GOOD])


def test_of_very_many_findings_the_rest_is_counted():
    many = Result("fib", "x", 500, [Finding("leaf1", f"FIB {i}", "a", "b") for i in range(MOST + 7)])
    words = said(made([many]))
    assert f"FIB {MOST - 1}" in words
    assert f"FIB {MOST}" not in words
    assert "... and 7 more." in words


def test_the_matrix_says_who_meets_whom_in_both_directions():
    found = cells(made([matrix()]))
    assert list(dict.fromkeys(a for a, _ in found)) == ["red", "blue", "svc/a", "svc/b", "underlay"]
    assert found["red", "red"] == ("meet", "meet 10")  # two VIPs, and two NICs each
    assert found["red", "svc/a"] == ("meet", "meet 10")
    assert found["svc/a", "red"] == ("apart", "apart 10")
    assert found["blue", "blue"][0] == "apart"
    assert found["svc/a", "svc/b"][0] == "apart"
    assert found["svc/a", "svc/a"] == ("", "")
    assert found["underlay", "red"][0] == "apart"


def test_a_leak_is_where_it_is_and_counted_by_pairs():
    found = cells(made([matrix(("ICMP", "h1-1", "h1-2"), ("TCP", "h1-1", "h1-2"), ("TCP", "h1-2", "h2-1"))]))
    assert found["red", "blue"][0] == "bad"
    assert found["red", "blue"][1].startswith("✗ 1 wrong of ")
    assert found["red", "blue"][1].endswith("must not meet")
    assert found["blue", "red"][0] == "bad"
    assert "✗ counts the pairs" in said(made([matrix(("ICMP", "h1-1", "h1-2"))]))
    assert found["red", "red"] == ("meet", "meet 10")


@pytest.mark.parametrize("results", [[GOOD], [matrix(error="h1-1: cannot send")]])
def test_a_matrix_that_was_not_tried_is_the_designs_word_alone(results):
    assert "The design's word alone: it was not tried in this run." in said(made(results))
    assert "All were so." not in said(made(results))
    assert "All were so." in said(made([matrix()]))


def test_a_sample_is_called_one():
    words = "name: t\nleaves: 15\nhosts: {per_leaf: 16}\ntenants: {red: {hosts: ['h*-1']}, blue: {hosts: ['h*-2']}}\n"
    assert "pairs of endpoints: a sample," in said(made([], plan(loads(words))))
    assert "a sample" not in said(made([matrix()]))


def test_tenants_have_their_colour_in_picture_and_table():
    text = made([matrix()])
    swatches = re.findall(r'class="link (r\d)"/></svg><b>(\w+)</b>', text)
    assert swatches == [("r8", "red"), ("r0", "blue"), ("r1", "svc")]
    assert "red → svc" in said(text)
    assert "Tenants" not in said(made([GOOD], plan(loads("name: t\nleaves: 2\n"))))


@given(word=st.text())
def test_any_word_is_escaped(word: str):
    found = Finding("leaf1", word, word, word)
    try:
        root(made([Result("fib", word, 1, [found], 0.1, word)]))
    except ElementTree.ParseError:
        assert not word.isprintable()  # what XML has no way to say, HTML has


def test_markup_in_a_finding_stays_text():
    text = made([Result("fib", "x", 1, [Finding("leaf1", "<script>alert(1)</script>", "a", "b")])])
    assert "<script" not in text
    assert "<script>alert(1)</script>" in said(text)
