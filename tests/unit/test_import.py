"""Hedgehog's YAML in, intent out: what it becomes, what is refused, and what may be left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hedgehog.objects import BASE, NET, attach, document, fabric_link, server_link, vpc

from closet.cli.importing import import_command
from closet.errors import IntentError
from closet.expect.pairs import allowed, endpoints
from closet.importer import convert, write
from closet.importer.cabling import port_name
from closet.intent import loads
from closet.plan import plan

ROOT = Path(__file__).parents[2]
SHIPPED = [ROOT / "topologies" / "hedgehog" / name for name in ("wiring.yaml", "vpcs.yaml")]
UNSUPPORTED = Path(__file__).parent / "hedgehog" / "unsupported.yaml"


def test_the_shipped_diagram_becomes_an_intent(golden):
    text = write(convert(SHIPPED, name="hedgehog"))
    golden("hedgehog", {"intent.yaml": text.replace(str(ROOT), "")})
    fabric = plan(loads(text))
    assert fabric.summary() == "2 spines, 3 leaves, 7 hosts, 16 links, 3 tenants"
    assert (fabric["leaf-01"].asn, str(fabric["leaf-01"].loopback)) == (65101, "172.30.12.1")
    assert (fabric["spine-01"].asn, str(fabric["spine-01"].loopback)) == (65100, "172.30.8.10")
    assert [(h.name, h.vrf, [p.peer for p in h.ports]) for h in fabric.hosts if h.machine == "server-06"] == [
        ("server-06-lab", "lab", ["leaf-02"]),
        ("server-06-storage", "storage", ["leaf-03"]),
    ]
    assert [(p.name, p.peer, p.peer_port, p.mtu) for p in fabric["server-01"].ports] == [
        ("enp2s1", "leaf-01", "eth1", 9036),
        ("enp2s2", "leaf-02", "eth1", 9036),
    ]


def test_what_has_no_counterpart_is_left_out_and_listed(golden):
    text = write(convert([UNSUPPORTED], name="some", skip=True))
    golden("hedgehog-skipped", {"intent.yaml": text.replace(str(ROOT), "")})
    assert plan(loads(text)).summary() == "1 spine, 2 leaves, 3 hosts, 5 links, 1 tenant"


def test_what_has_no_counterpart_is_refused_in_one_line():
    with pytest.raises(IntentError) as caught:
        convert([UNSUPPORTED], name="some")
    assert str(caught.value) == (
        f"{UNSUPPORTED}:8: Switch spine-1: spec.roce: true given: no lossless queues in a fabric of this kind yet "
        "(12 more; --skip-unsupported leaves out and lists)"
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [("E1/1", "eth1"), ("E1/55/2", "eth55-2"), ("E2/5", "E2-5"), ("M1", "M1"), ("enp2s1", "enp2s1")],
)
def test_ports_have_names_linux_takes(given, name):
    assert port_name(given) == name


def imported(folder: Path, *documents: dict, skip: bool = False) -> dict:
    """The intent that `BASE` and some more objects become, as YAML has it."""
    file = folder / "f.yaml"
    file.write_text(yaml.safe_dump_all([*BASE, *documents], sort_keys=False))
    return yaml.safe_load(write(convert([file], name="x", skip=skip)))


def test_numbers_that_are_not_given_are_closets_own(tmp_path):
    made = imported(tmp_path)
    assert "nodes" not in made
    assert "pools" not in made
    assert plan(loads(yaml.safe_dump(made)))["l1"].asn == 4200001000


def test_a_vpc_says_what_it_keeps_apart(tmp_path):
    subnets = {
        "a": {"subnet": "10.0.1.0/24", "isolated": False, "restricted": True},
        "b": {"subnet": "10.0.2.7/24", "hostBGP": True, "vlan": 5, "gateway": "10.0.2.1"},
        "c": {"subnet": "10.0.3.0/24"},
    }
    made = imported(
        tmp_path,
        vpc("red", subnets=subnets, defaultIsolated=True, defaultRestricted=False, permit=[["a", "c"], ["b", "c"]]),
        attach("1", "red/a", "h1-l1"),
        attach("2", "red/a", "h1-l2"),
        attach("3", "red/b", "h2-l1"),
        attach("4", "red/c", "h3-l1"),
        attach("5", "red/c", "h4-l1"),
    )
    assert made["tenants"] == {
        "red": {
            "isolated": True,
            "permit": [["a", "c"], ["b", "c"]],
            "subnets": {
                "a": {"hosts": ["h1"], "prefix": "10.0.1.0/24", "isolated": False, "restricted": True},
                "b": {"hosts": ["h2"], "prefix": "10.0.2.0/24"},
                "c": {"hosts": ["h3", "h4"], "prefix": "10.0.3.0/24"},
            },
        }
    }


def test_leaves_may_be_joined_without_spines(tmp_path):
    mesh = {"links": [{"leaf1": {"port": "l2/E1/9"}, "leaf2": {"port": "l1/E1/9"}}]}
    documents = [d for d in BASE if "s1" not in d["metadata"]["name"]]
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump_all([*documents, document("Connection", "l1--l2", mesh=mesh)]))
    text = write(convert([file], name="x"))
    assert yaml.safe_load(text)["wiring"]["links"][-1] == ["l2:eth9", "l1:eth9"]
    assert plan(loads(text)).summary() == "2 leaves, 4 hosts, 6 links"


FLAG = st.sampled_from([None, True, False])


@given(
    st.fixed_dictionaries({s: st.fixed_dictionaries({"isolated": FLAG, "restricted": FLAG}) for s in "abc"}),
    st.booleans(),
    st.booleans(),
    st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=3, unique=True), max_size=2),
)
def test_subnets_meet_as_hedgehog_says(tmp_path_factory, flags, isolated, restricted, permit):
    """In the words of its `IsSubnetReachableWithinVPC`: restricted within a subnet, else isolated unless permitted."""
    nets = {s: {"subnet": f"10.0.{n}.0/24", **flags[s]} for n, s in enumerate("abc")}
    attached = [("a", "h1-l1"), ("a", "h1-l2"), ("b", "h2-l1"), ("c", "h3-l1")]
    made = imported(
        tmp_path_factory.mktemp("one"),
        vpc("red", subnets=nets, defaultIsolated=isolated, defaultRestricted=restricted, permit=permit),
        *(attach(str(i), f"red/{s}", c) for i, (s, c) in enumerate(attached)),
    )
    tenant = plan(loads(yaml.safe_dump(made))).tenants["red"]

    def says(subnet: str, word: str, default: bool) -> bool:
        return default if flags[subnet][word] is None else flags[subnet][word]

    for a in tenant.subnets:
        for b in tenant.subnets:
            if a is b:
                meet = not says(a.name, "restricted", restricted)
            else:
                apart = says(a.name, "isolated", isolated) or says(b.name, "isolated", isolated)
                meet = not apart or any({a.name, b.name} <= set(p) for p in permit)
            assert tenant.joins(a, b) == meet, (a.name, b.name)


def test_a_server_in_several_vpcs_is_so_nic_by_nic(tmp_path):
    """Its guests meet whom their own VPC lets them meet, and not each other, unless those peer."""
    more = [
        server_link("h1-l1-more", "h1/p3", "l1/E1/9"),
        server_link("h1-l2-more", "h1/p4", "l2/E1/9"),
        vpc("red", subnets={"a": {"subnet": "10.0.1.0/24"}, "b": {"subnet": "10.0.2.0/24"}}),
        vpc("blue", ipv4Namespace="default", subnets={"default": {"subnet": "10.0.3.0/24"}}),
        attach("1", "red/a", "h1-l1"),
        attach("2", "red/a", "h1-l2"),
        attach("3", "red/b", "h1-l1-more"),
        attach("4", "blue", "h1-l2-more"),
        attach("5", "red/a", "h2-l1"),
        attach("6", "blue", "h3-l1"),
    ]
    made = imported(tmp_path, *more)
    assert made["tenants"]["red"]["subnets"]["a"]["hosts"] == ["h1:p1", "h1:p2", "h2"]
    assert made["tenants"]["red"]["subnets"]["b"]["hosts"] == ["h1:p3"]
    assert made["tenants"]["blue"]["subnets"]["default"]["hosts"] == ["h1:p4", "h3"]

    def meet(*documents: dict) -> set[frozenset[str]]:
        fabric = plan(loads(yaml.safe_dump(imported(tmp_path, *more, *documents))))
        vips, _ = endpoints(fabric)
        return {frozenset((a.host, b.host)) for a in vips for b in vips if a != b and allowed(fabric, a, b)}

    inside = {("h1-red-a", "h1-red-b"), ("h1-red-a", "h2"), ("h1-red-b", "h2"), ("h1-blue", "h3")}
    assert meet() == {frozenset(pair) for pair in inside}
    across = {("h1-red-a", "h1-blue"), ("h1-red-a", "h3"), ("h2", "h1-blue"), ("h2", "h3")}
    peering = document("VPCPeering", "p", permit=[{"red": {"subnets": ["a"]}, "blue": {}}])
    assert meet(peering) == {frozenset(pair) for pair in inside | across}


def test_a_link_that_is_attached_to_nothing_is_left_out_and_noted(tmp_path):
    made = imported(tmp_path, vpc("red", **NET), attach("1", "red", "h1-l2"))
    assert made["tenants"]["red"]["subnets"]["default"]["hosts"] == ["h1"]
    assert "h1:p1" not in str(made["wiring"]["links"])


def test_alternatives_of_a_peering_are_peerings(tmp_path):
    two = {"a": {"subnet": "10.0.1.0/24"}, "b": {"subnet": "10.0.2.0/24"}}
    made = imported(
        tmp_path,
        vpc("red", subnets=two),
        vpc("blue", subnets={"default": {"subnet": "10.0.3.0/24"}}),
        attach("1", "red/a", "h2-l1"),
        attach("2", "red/b", "h3-l1"),
        attach("3", "blue", "h4-l1"),
        document("VPCPeering", "p", permit=[{"red": {"subnets": ["a"]}, "blue": {}}, {"blue": {}, "red": {}}]),
    )
    assert made["peerings"] == [
        {"between": ["blue", "red"], "subnets": {"red": ["a"]}},
        {"between": ["blue", "red"]},
    ]


def test_address_spaces_apart_may_overlap(tmp_path):
    made = imported(
        tmp_path,
        document("IPv4Namespace", "default", subnets=["10.0.0.0/16"]),
        document("IPv4Namespace", "other", subnets=["10.0.0.0/16"]),
        vpc("red", **NET),
        vpc("blue", ipv4Namespace="other", **NET),
        attach("1", "red", "h2-l1"),
        attach("2", "blue", "h3-l1"),
    )
    assert {t["subnets"]["default"]["prefix"] for t in made["tenants"].values()} == {"10.0.1.0/24"}


def test_words_that_yaml_takes_for_something_else_are_quoted(tmp_path):
    made = imported(
        tmp_path,
        document("Server", "null"),
        server_link("null-l1", "null/p1", "l1/E1/9"),
        vpc("on", subnets={"no": {"subnet": "10.0.1.0/24"}, "yes": {"subnet": "10.0.2.0/24"}}, permit=[["no", "yes"]]),
        attach("1", "on/no", "null-l1"),
    )
    assert made["tenants"]["on"]["subnets"]["no"]["hosts"] == ["null"]
    assert made["wiring"]["hosts"][-1] == "null"


def test_servers_have_the_mtu_they_are_given(tmp_path):
    links = [server_link(f"more{i}", f"h3/p{i}", f"l2/E1/{i}", mtu=1500) for i in range(2, 8)]
    made = imported(tmp_path, *links, skip=True)
    assert made["links"] == {"mtu": 1550}


def test_a_long_list_is_in_several_lines(tmp_path):
    servers = [document("Server", f"server-{i:03}") for i in range(40)]
    links = [server_link(f"c{i}", f"server-{i:03}/p", f"l1/E1/{i + 100}") for i in range(40)]
    made = imported(tmp_path, *servers, *links)
    assert len(made["wiring"]["hosts"]) == 44


def test_loopbacks_in_the_way_of_closets_pools_move_those(tmp_path):
    made = imported(tmp_path, document("Switch", "l3", role="mixed-leaf"), fabric_link("x", "s1/E1/3", "l3/E1/1"))
    assert "pools" not in made
    file = tmp_path / "g.yaml"
    for vtep, pools in (("10.1.0.7/32", "100.64.0.0/11"), ("100.64.0.1/32", None), ("10.255.1.1/32", None)):
        moved = [d | {"spec": d["spec"] | {"vtepIP": vtep}} if d["metadata"]["name"] == "l1" else d for d in BASE]
        file.write_text(yaml.safe_dump_all(moved))
        made = yaml.safe_load(write(convert([file], name="x")))
        assert made["nodes"]["l1"] == {"loopback": vtep.partition("/")[0]}
        assert made["pools"].get("hosts") == pools
        assert len({n["loopback"] for n in made["nodes"].values()}) == 3
        plan(loads(yaml.safe_dump(made)))


def test_more_switches_than_a_24_have_loopbacks_when_one_is_given(tmp_path):
    leaves = [f"leaf{i}" for i in range(300)]
    documents = [
        document("Switch", "spine", role="spine", protocolIP="172.30.8.0/32"),
        *(document("Switch", leaf, role="server-leaf") for leaf in leaves),
        *(fabric_link(f"spine-{leaf}", f"spine/E1/{i + 1}", f"{leaf}/E1/49") for i, leaf in enumerate(leaves)),
        *(document("Server", f"h-{leaf}") for leaf in leaves),
        *(server_link(f"h-{leaf}", f"h-{leaf}/p1", f"{leaf}/E1/1") for leaf in leaves),
    ]
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    fabric = plan(loads(write(convert([file], name="x"))))
    assert len({n.loopback for n in fabric.switches}) == 301
    assert str(fabric.pools.loopbacks) == "172.30.8.0/23"


def test_the_command_writes_the_intent_and_says_what_it_left_out(tmp_path):
    out = tmp_path / "My fabric.yaml"
    files = [str(p) for p in SHIPPED]
    done = CliRunner().invoke(import_command, [*files, "-o", str(out)])
    assert (done.exit_code, done.output) == (0, f"{out}: 2 spines, 3 leaves, 7 hosts, 16 links, 3 tenants\n")
    assert "\nname: my-fabric\n" in out.read_text()
    done = CliRunner().invoke(import_command, [*files, "--name", "lab"])
    assert done.stdout.replace("name: lab", "name: my-fabric") == out.read_text()
    done = CliRunner().invoke(import_command, [str(UNSUPPORTED), "--skip-unsupported", "-o", str(out)])
    assert str(done.exception) == f"{out}: exists and may have been changed by hand, allowed: a new file, or --force"
    assert "\nname: my-fabric\n" in out.read_text()
    done = CliRunner().invoke(import_command, [str(UNSUPPORTED), "--skip-unsupported", "--force", "-o", str(out)])
    said = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert said == ["left out"] * 13 + ["noted"] * 5
    done = CliRunner().invoke(import_command, [str(out), "-o", str(out)])
    assert "is one of the files to read" in str(done.exception)
