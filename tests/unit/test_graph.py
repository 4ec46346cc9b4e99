"""Pictures hold the whole fabric, are well formed, stay within bounds, and are the same every time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.intent import loads
from closet.plan import Fabric, plan
from closet.report.graph import mermaid, svg
from closet.report.layout import GAP, layout
from closet.report.svg import ALIASES, COLOURS, LIGHT, tenant_classes

SVG = "{http://www.w3.org/2000/svg}"

BIG = {
    "five hundred": "spines: 4\nleaves: 62\nhosts: {per_leaf: 7}",
    "rails": "spines: 8\nrails: 8\ngroups: 6\nhosts: {per_group: 16}",
    "many rails": "spines: 0\nrails: 64\nhosts: {per_group: 4}",
    "pods": "pods: 7\nsuperspines: 8\nspines: 4\nplanes: true\nleaves: 16\nhosts: {per_leaf: 2}",
    "spines": "bgp: {max_paths: 200}\nspines: 200\nleaves: 2\nhosts: {per_leaf: 1}",
}


def fabric_of(words: str) -> Fabric:
    return plan(loads(f"name: lab\n{words}\n"))


QUICK = fabric_of("spines: 2\nleaves: 2\nhosts: {per_leaf: 2}")


def titles(picture: str) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(picture).iter(f"{SVG}title")]


def drawn(picture: str, name: str) -> ElementTree.Element:
    """The box of a node."""
    groups = ElementTree.fromstring(picture).iter(f"{SVG}g")
    return next(g for g in groups if g.get("class", "").startswith("node") and f"{name}: " in (g[0].text or ""))


@given(fabric=infer)
def test_the_same_fabric_gives_the_same_pictures(fabric: Fabric):
    assert svg(fabric) == svg(fabric)
    assert mermaid(fabric) == mermaid(fabric)


@given(fabric=infer)
def test_every_node_and_every_link_is_in_the_svg_once(fabric: Fabric):
    said = titles(svg(fabric))
    heads = [line for t in said for line in t.splitlines()]
    for node in fabric:
        about = [h for h in heads if h.startswith(f"{node.name}: {node.role}")]
        assert len(about) == 1
    for link in fabric.links:
        assert said.count(f"{link.a}:{link.a_port} - {link.b}:{link.b_port}") == 1


@given(fabric=infer)
def test_no_two_nodes_overlap_and_all_are_on_the_paper(fabric: Fabric):
    block = layout(fabric)
    nodes = [b for b in block.boxes if b.nodes]
    assert all(b.x >= 0 and b.x + b.w <= block.w + 0.1 and b.y >= 0 and b.y + b.h <= block.h + 0.1 for b in block.boxes)
    for i, a in enumerate(nodes):
        for b in nodes[i + 1 :]:
            apart = max(b.x - a.x - a.w, a.x - b.x - b.w, b.y - a.y - a.h, a.y - b.y - b.h)
            assert apart >= GAP - 0.1, (a, b)


@given(fabric=infer)
def test_upper_tiers_are_above_the_nodes_they_join(fabric: Fabric):
    box_of = {n.name: b for b in layout(fabric).boxes for n in b.nodes}
    assert all(box_of[link.a].y + box_of[link.a].h < box_of[link.b].y for link in fabric.links)


@pytest.mark.parametrize("words", BIG.values(), ids=BIG)
def test_a_big_fabric_is_bounded_and_whole(words: str):
    fabric = fabric_of(words)
    picture = svg(fabric)
    root = ElementTree.fromstring(picture)
    assert float(root.get("width", 0)) < 3000
    assert len(picture) < 500 * (len(fabric.nodes) + 2 * len(fabric.links)) + 10_000
    said = titles(picture)
    assert {f"{x.a}:{x.a_port} - {x.b}:{x.b_port}" for x in fabric.links} <= set(said)
    assert all(any(f"{n.name}: {n.role}" in t for t in said) for n in fabric)


def test_many_hosts_are_one_box_a_leaf_with_their_number():
    picture = svg(fabric_of(BIG["five hundred"]))
    root = ElementTree.fromstring(picture)
    classes = [g.get("class", "") for g in root.iter(f"{SVG}g")]
    assert classes.count("node host") == 62
    assert "h62-7: host" in picture


def test_a_node_says_its_numbers_and_hovering_says_the_rest():
    leaf = QUICK["leaf1"]
    box = drawn(svg(QUICK), "leaf1")
    assert [t.text for t in box.iter(f"{SVG}text")] == ["leaf1", f"AS {leaf.asn} · {leaf.loopback}"]
    assert (box[0].text or "").splitlines() == [
        "leaf1: leaf",
        f"AS {leaf.asn}",
        f"loopback {leaf.loopback}",
        f"block {leaf.block}",
        *(f"{p.name} - {p.peer}:{p.peer_port}" for p in leaf.ports),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("leaves: 2", "2 spines, 2 leaves, 4 hosts, 8 links · MTU 9216 · unnumbered (IPv6 link-local) · no BFD"),
        (
            "leaves: 2\nlinks: {addressing: numbered, mtu: 1500}\nbgp: {bfd: {interval: 50, multiplier: 4}}",
            "2 spines, 2 leaves, 4 hosts, 8 links · MTU 1500 · a /31 a link · BFD 50 ms x 4",
        ),
    ],
)
def test_the_line_below_the_name_says_what_the_fabric_is(words: str, said: str):
    assert said in [t.text for t in ElementTree.fromstring(svg(fabric_of(words))).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ("rails: 4\ngroups: 2\nhosts: {per_group: 2}", ["group 1", "group 2", "rail 1", "rail 4"]),
        (
            "pods: 2\nsuperspines: 4\nplanes: true\nleaves: 2",
            ["plane 1", "plane 2", "pod 1", "pod 2", "superspines", "spines", "leaves", "hosts"],
        ),
        ("leaves: 2\nhosts: {per_leaf: 1, nics: 3}", ["NIC 1", "NIC 2", "NIC 3"]),
    ],
)
def test_frames_tiers_and_colours_are_named(words: str, labels: list[str]):
    said = [t.text for t in ElementTree.fromstring(svg(fabric_of(words))).iter(f"{SVG}text")]
    assert set(labels) <= set(said)


GUESTS = (
    "leaves: 3\nhosts: {per_leaf: 2, nics: 2}\n"
    "tenants: {red: {hosts: ['h1-1:eth1', h1-2]}, blue: {hosts: ['h1-1:eth2', 'h2-1:eth1']}}"
)


def test_the_guests_of_a_machine_are_in_one_frame():
    fabric = fabric_of(GUESTS)
    block = layout(fabric)
    frames = [b for b in block.boxes if b.kind == "machine"]
    for frame, names in zip(frames, [{"h1-1-red", "h1-1-blue"}, {"h2-1", "h2-1-blue"}], strict=True):
        x, y, right, bottom = frame.x, frame.y, frame.x + frame.w, frame.y + frame.h
        inside = {n.name for b in block.boxes for n in b.nodes if x < b.x < right and y < b.y < bottom}
        assert inside == names
    assert [b.label for b in frames] == ["machine h1-1", "machine h2-1"]
    assert len({b.y for b in block.boxes if b.nodes and b.nodes[0].is_host}) == 1
    assert "part of h1-1" in (drawn(svg(fabric), "h1-1-red")[0].text or "").splitlines()
    chart = mermaid(fabric)
    assert chart.count('["machine h1-1"]') == chart.count('["machine h2-1"]') == 1
    assert chart.count("subgraph ") == len(re.findall(r"^ *end$", chart, re.MULTILINE))


def test_a_rail_has_one_colour_in_every_group():
    fabric = fabric_of("rails: 4\ngroups: 2\nhosts: {per_group: 2}")
    colours: dict[str, set[str]] = {}
    for wire in ElementTree.fromstring(svg(fabric)).iter(f"{SVG}g"):
        if wire.get("class") == "wire" and (found := re.match(r"g\d-leaf(\d):", wire[0].text or "")):
            colours.setdefault(found[1], set()).add(wire[-1].get("class", ""))
    assert colours == {"1": {"link r0"}, "2": {"link r1"}, "3": {"link r2"}, "4": {"link r3"}}


NAMES = st.sampled_from([*COLOURS, *ALIASES, "web", "db", "gpu"])


@given(names=st.lists(NAMES, max_size=12, unique=True))
def test_a_tenant_called_as_a_colour_has_it_and_no_two_look_alike(names: list[str]):
    found = tenant_classes(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    for name in {*names} & {*COLOURS}:
        if not any(ALIASES.get(other) == name for other in names):
            assert found[name] == f"r{COLOURS.index(name)}"


def test_many_tenants_have_all_colours_before_any_again():
    found = list(tenant_classes([f"t{i}" for i in range(32)]).values())
    assert found[:9] == [f"r{i}" for i in range(9)]
    assert found[9:11] == ["r0 dash", "r1 dash"]
    assert found[18] == "r0 dots"
    assert len(set(found)) == 27


def test_links_of_a_tenant_have_its_colour_and_the_legend_says_so():
    fabric = fabric_of("leaves: 2\nhosts: {per_leaf: 3}\ntenants: {web: {hosts: [h?-1]}, red: {hosts: [h?-2]}}")
    picture = svg(fabric)
    wires = [g for g in ElementTree.fromstring(picture).iter(f"{SVG}g") if g.get("class") == "wire"]
    kinds = {(w[0].text or "").rpartition(" - ")[2].partition(":")[0]: w[-1].get("class") for w in wires}
    assert {kinds[h] for h in ("h1-1", "h2-1")} == {"link r0"}
    assert {kinds[h] for h in ("h1-2", "h2-2")} == {"link r8"}
    assert {kinds[h] for h in ("h1-3", "h2-3", "leaf1")} == {"link"}
    assert re.findall(r'class="link (r\d)"/><text[^>]*>(\w+)</text>', picture) == [("r0", "web"), ("r8", "red")]
    colour = LIGHT["links"].split()[8]
    edges = [line for line in mermaid(fabric).splitlines() if " ---" in line and "title" not in line]
    styled = next(line for line in mermaid(fabric).splitlines() if line.endswith(f"stroke:{colour}"))
    assert [edges[int(i)].split()[-1] for i in styled.split()[1].split(",")] == ["h1_2", "h2_2"]


@pytest.mark.parametrize(
    ("word", "state"), [("bad", "bad"), ("ok", "ok"), ("warn", "warn"), ("drained", "warn"), ("", "warn")]
)
def test_a_mark_colours_its_node_and_no_other(word: str, state: str):
    picture = svg(QUICK, marks={"leaf2": word, "nobody": "bad"})
    assert drawn(picture, "leaf2").get("class") == f"node leaf {state}"
    assert drawn(picture, "leaf1").get("class") == "node leaf"
    assert f"1 {word}" in picture
    assert "nobody" not in picture


def test_a_stack_of_hosts_shows_its_worst_mark_and_how_many():
    picture = svg(fabric_of(BIG["five hundred"]), marks={"h3-1": "ok", "h3-2": "bad", "h3-5": "bad"})
    box = drawn(picture, "h3-2")
    assert box.get("class") == "node host bad"
    assert [t.text for t in box.iter(f"{SVG}text")] == ["7", "hosts", "2"]
    assert "h3-5: host, bad" in (box[0].text or "")


def test_a_faulty_port_marks_its_link_and_no_other():
    picture = svg(QUICK, faulty={("leaf1", "eth2"), ("leaf1", "daemon"), ("nobody", "eth1")})
    wires = {
        wire[0].text: wire for wire in ElementTree.fromstring(picture).iter(f"{SVG}g") if wire.get("class") == "wire"
    }
    assert [title for title, wire in wires.items() if wire[-1].get("class") == "link faulty"] == [
        "spine2:eth1 - leaf1:eth2"
    ]
    assert picture.count('class="cross"') == 1


@given(word=st.text())
def test_any_word_is_escaped(word: str):
    ElementTree.fromstring(svg(QUICK, marks={"leaf1": word}))


def test_markup_in_a_word_stays_text():
    word = '</title><script>alert("x")</script>&'
    picture = svg(QUICK, marks={"leaf1": word})
    assert "<script" not in picture
    assert f"leaf1: leaf, {word}" in (drawn(picture, "leaf1")[0].text or "").splitlines()


def test_the_svg_needs_nothing_else_and_knows_light_and_dark():
    picture = svg(QUICK)
    assert "@media (prefers-color-scheme: dark)" in picture
    assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|image|use|link)\b|url\(|@import|var\(", picture)
