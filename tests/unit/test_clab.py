"""The containerlab topology says what the plan says, and nothing containerlab would read otherwise."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import given, infer

from closet.intent import load, loads
from closet.plan import Fabric, Role, plan
from closet.plan.fabric import TIER
from closet.render.clab import FILE, TAKEOVER, clab_topology
from closet.render.host import sysctls

ROOT = Path(__file__).parents[2]


def text_of(fabric: Fabric, **words) -> str:
    return clab_topology(fabric, **{"lab_id": "closet-any-012345", "image": "closet-node:0123456789ab", **words})


def merged(topology: dict, node: str) -> dict[str, str]:
    """The kernel settings of a node, by containerlab's precedence: node, group, defaults."""
    own = topology["nodes"][node]
    return topology["defaults"]["sysctls"] | topology["groups"][own["group"]]["sysctls"] | own["sysctls"]


def test_the_topology_of_quickstart_is_as_it_was(golden):
    golden("clab", {FILE: text_of(plan(load(ROOT / "topologies/quickstart.yaml")))})


@given(fabric=infer)
def test_the_same_fabric_gives_the_same_text(fabric: Fabric):
    assert text_of(fabric) == text_of(fabric)


@given(fabric=infer)
def test_nodes_links_and_settings_are_those_planned(fabric: Fabric):
    topology = yaml.safe_load(text_of(fabric))["topology"]
    assert list(topology["nodes"]) == list(fabric.nodes)
    for node in fabric:
        assert merged(topology, node.name) == {k: str(v) for k, v in sysctls(node).items()}
        assert topology["nodes"][node.name]["labels"]["closet-role"] == node.role
    links = [
        (link["type"], link["mtu"], *(tuple(end[k] for k in ("node", "interface", "mac")) for end in link["endpoints"]))
        for link in topology["links"]
    ]
    assert links == [
        ("veth", fabric.mtu, *((n, p, fabric[n].port(p).mac) for n, p in ((k.a, k.a_port), (k.b, k.b_port))))
        for k in fabric.links
    ]


@given(fabric=infer)
def test_a_picture_of_it_has_the_top_tier_at_the_top(fabric: Fabric):
    nodes = yaml.safe_load(text_of(fabric))["topology"]["nodes"]
    levels = {node.role: nodes[node.name]["labels"]["graph-level"] for node in fabric}
    assert levels[fabric.top] == 1
    assert sorted(levels, key=levels.__getitem__) == sorted(levels, key=TIER.__getitem__, reverse=True)
    assert {n["group"] for n in nodes.values()} == {"server" if r is Role.HOST else r.value for r in levels}


@given(fabric=infer)
def test_nothing_is_left_for_containerlab_to_fill_in(fabric: Fabric):
    text = text_of(fabric)
    assert "{{" not in text  # a Go template
    assert re.sub(r"\$\$", "", text).count("$") == 0  # an environment variable


def test_containers_are_named_after_the_lab_without_a_network_and_never_start_again_or_pull():
    text = yaml.safe_load(text_of(plan(loads("{name: a, spines: 1, leaves: 1, hosts: {per_leaf: 1}}"))))
    assert text["name"] == text["mgmt"]["network"] == "closet-any-012345"
    assert text["prefix"] == "__lab-name"
    assert text["mgmt"]["skip-when-unused"] is True
    defaults = text["topology"]["defaults"]
    assert defaults["network-mode"] == "none"
    assert defaults["restart-policy"] == "no"
    assert defaults["image-pull-policy"] == "never"
    assert defaults["image"] == "closet-node:0123456789ab"
    assert defaults["binds"] == ["nodes/__clabNodeName__/frr:/etc/frr", "nodes/__clabNodeName__/log:/var/log/frr"]


def test_the_layout_of_the_files_is_the_callers():
    fabric = plan(loads("{name: a, spines: 1, leaves: 1, hosts: {per_leaf: 1}}"))
    text = yaml.safe_load(text_of(fabric, files={"{node}": "/etc/frr"}))
    assert text["topology"]["defaults"]["binds"] == ["__clabNodeName__:/etc/frr"]


def test_a_node_leaves_its_start_to_a_script_that_takes_over():
    fabric = plan(loads("{name: a, spines: 1, leaves: 1, hosts: {per_leaf: 1}}"))
    shell, option, script = shlex.split(yaml.safe_load(text_of(fabric))["topology"]["defaults"]["cmd"])
    assert (shell, option) == ("/bin/sh", "-c")
    settings, takeover, *_ = (part.strip() for part in script.split(";"))
    assert settings == "sysctl -qp /etc/frr/sysctl.conf", "in their order, which the engine's is not"
    assert takeover == f"[ ! -e {TAKEOVER} ] || . {TAKEOVER}"
    assert script.endswith("exec /usr/bin/tini -- sleep infinity")


@pytest.mark.parametrize("name", ["no", "on", "null", "y", "e1"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(name):
    fabric = plan(
        loads(f"{{name: a, spines: 1, leaves: 1, hosts: {{per_leaf: 1}}, nodes: {{leaf1: {{name: '{name}'}}}}}}")
    )
    topology = yaml.safe_load(text_of(fabric))["topology"]
    assert list(topology["nodes"]) == ["spine1", name, "h1-1"]
    assert {end["node"] for link in topology["links"] for end in link["endpoints"]} == {"spine1", name, "h1-1"}
