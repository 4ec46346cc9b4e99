"""Mermaid charts hold the whole fabric, in what Mermaid takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, infer

from closet.intent import loads
from closet.plan import Fabric, Role, plan
from closet.report.graph import mermaid


def fabric_of(words: str) -> Fabric:
    return plan(loads(f"name: lab\n{words}\n"))


QUICK = fabric_of("spines: 2\nleaves: 2\nhosts: {per_leaf: 2}")


@given(fabric=infer)
def test_every_switch_is_in_the_mermaid_once_with_its_class(fabric: Fabric):
    chart = mermaid(fabric)
    for node in fabric.switches:
        assert len(re.findall(rf"<b>{node.name}</b>.*:::{node.role}\n", chart)) == 1
    assert chart.count("subgraph ") == len(re.findall(r"^ *end$", chart, re.MULTILINE))
    ids = {*re.findall(r"^ +(\w+)\[", chart, re.MULTILINE), *re.findall(r"subgraph (\w+)\[", chart)}
    ends = re.findall(r'^  (\w+) ---(?:\|"[^"]*"\|)? (\w+)$', chart, re.MULTILINE)
    assert len(ends) == len({(x.a, x.b) for x in fabric.links}) or len(fabric.hosts) > 16
    assert {end for pair in ends for end in pair} <= ids


def test_mermaid_of_the_quickstart_reads_as_the_fabric():
    lines = [line.strip() for line in mermaid(QUICK).splitlines()]
    assert lines[:4] == ["---", 'title: "lab"', "---", "graph TB"]
    assert f'spine1["<b>spine1</b><br/>AS {QUICK["spine1"].asn}<br/>{QUICK["spine1"].loopback}"]:::spine' in lines
    assert [x for x in lines if x.startswith("leaf1 ---")] == ["leaf1 --- h1_1", "leaf1 --- h1_2"]


@pytest.mark.parametrize(("per_leaf", "boxes"), [(8, 16), (9, 2)])
def test_mermaid_draws_more_than_16_hosts_as_one_box_a_leaf(per_leaf: int, boxes: int):
    chart = mermaid(fabric_of(f"leaves: 2\nhosts: {{per_leaf: {per_leaf}}}"))
    assert chart.count(":::host") == boxes
    assert ("9 hosts<br/>h2-1 … h2-9" in chart) == (per_leaf == 9)


def test_mermaid_stays_below_the_edges_mermaid_draws():
    fabric = fabric_of("spines: 16\nleaves: 40\nhosts: {per_leaf: 2}")
    chart = mermaid(fabric)
    assert 'Spines ---|"640 links"| Leaves' in chart
    assert chart.count(" ---") < 500
    assert all(f"<b>{n.name}</b>" in chart for n in fabric.role(Role.SPINE, Role.LEAF))


def test_mermaid_counts_parallel_links():
    assert 'spine1 ---|"3 x"| leaf1' in mermaid(fabric_of("leaves: 2\nlinks: {parallel: 3}"))


@pytest.mark.parametrize("word", ["end", "graph", "default", "class", "flowchart", "o", "x"])
def test_a_word_of_mermaid_is_no_id(word: str):
    chart = mermaid(fabric_of(f"leaves: 2\nnodes: {{leaf1: {{name: '{word}'}}}}"))
    assert f'{word}_N["<b>{word}</b>' in chart
    assert not re.search(rf"--- {word}$", chart, re.MULTILINE)
