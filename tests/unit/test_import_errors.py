"""What is said of Hedgehog's YAML that does not fit together: one line with file, object, place and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.unit.hedgehog.objects import BASE, NET, attach, document, fabric_link, server_link, vpc

from closet.errors import IntentError
from closet.importer import convert, write
from closet.importer.objects import MAX_BYTES
from closet.intent import loads
from closet.plan import plan


def spec(kind: str, **words) -> list[dict]:
    return [{**document(kind, "x"), "spec": words}]


ERRORS = {
    "no version": ([{"kind": "Switch"}], "{f}:1: Switch: apiVersion: None given, allowed: wiring.githedgehog.com/"),
    "another's": ([{"apiVersion": "v1", "kind": "Pod"}], "{f}:1: Pod: apiVersion: 'v1' given, allowed: wiring"),
    "no kind": ([{"apiVersion": "v1"}], "{f}:1: a mapping without a kind, expected an object with apiVersion"),
    "a number": ([{"kind": 7}], "{f}:1: 7, expected an object with apiVersion, kind, metadata and spec"),
    "no mapping": (["x"], "{f}:1: 'x', expected an object"),
    "in a list": ([{"kind": "List", "items": [1]}], "{f}:3: 1, expected an object"),
    "no name": (
        [document("Switch", "l1") | {"metadata": {}}],
        "{f}:1: Switch: metadata.name: None given, allowed: a name Kubernetes takes",
    ),
    "a name of two lines": ([document("Switch", "a\nb")], "{f}:1: Switch: metadata.name: 'a\\nb' given, allowed"),
    "an unknown kind": ([document("Swich", "x")], "{f}:1: Swich x: unknown kind, allowed: Switch, Server, Connection"),
    "twice": ([*BASE, document("Server", "h1")], ": Server h1: is there already (first at {f}:"),
    "no spec": ([{**document("Switch", "x"), "spec": 5}], "{f}:5: Switch x: spec: 5 given, allowed: a mapping"),
    "no role": (spec("Switch"), "{f}:5: Switch x: spec.role: missing, it must be given"),
    "no such role": (
        spec("Switch", role="virtual-edge"),
        "Switch x: spec.role: 'virtual-edge' given, allowed: 'spine'",
    ),
    "an address": (
        spec("Switch", role="spine", protocolIP=7),
        "spec.protocolIP: 7 given, allowed: an address and prefix length like 10.0.1.0/24",
    ),
    "a wide loopback": (
        [
            *(d for d in BASE if d["metadata"]["name"] != "s1"),
            document("Switch", "s1", role="spine", protocolIP="10.1.0.1/24"),
        ],
        "Switch s1: 10.1.0.1/24 given as a loopback, allowed: a /32",
    ),
    "an AS number": (spec("Switch", role="spine", asn="65100"), "spec.asn: '65100' given, allowed: a whole number"),
    "an upper-case name": (
        [*BASE, document("Server", "1up")],
        "Server 1up: no node can be called that, allowed: at most",
    ),
    "a name of two": ([*BASE, document("Server", "l1")], "Server l1: is also the name of {f}:"),
    "no connection": ([*BASE, *spec("Connection")], "Connection x: exactly one of fabric, mesh, unbundled is needed"),
    "two connections": (
        [*BASE, *spec("Connection", bundled={"a": 1}, eslag={"b": 1})],
        "Connection x: exactly one of fabric, mesh, unbundled is needed, got bundled and eslag",
    ),
    "a link to nobody": (
        [*BASE, fabric_link("x", "s9/E1/1", "l1/E1/9")],
        "Connection x: spec.fabric.links[0].spine.port: no Switch 's9' in these files",
    ),
    "a server nobody knows": (
        [*BASE, server_link("x", "h9/p", "l1/E1/9")],
        "link.server.port: no Server 'h9' in these",
    ),
    "a server on a spine": (
        [*BASE, server_link("x", "h1/p", "s1/E1/9")],
        "Connection x: spec.unbundled.link.switch.port: s1 is a spine, allowed: a leaf",
    ),
    "a leaf as a spine": (
        [*BASE, fabric_link("x", "l1/E1/8", "l2/E1/8")],
        "spine.port: l1 is a server-leaf, allowed: a spine",
    ),
    "a spine in a mesh": (
        [
            *BASE,
            document("Connection", "x", mesh={"links": [{"leaf1": {"port": "l1/E1/9"}, "leaf2": {"port": "s1/E1/9"}}]}),
        ],
        "Connection x: spec.mesh.links[0].leaf2.port: s1 is a spine, allowed: a leaf",
    ),
    "a port twice": (
        [*BASE, server_link("x", "h1/p3", "l1/E1/1")],
        "switch.port: l1/E1/1 is used by Connection h1-l1 already, allowed: one link a port",
    ),
    "a broken-out port by both names": (
        [*BASE, server_link("x", "h1/p3", "l1/E1/1/1")],
        "switch.port: l1/E1/1/1 is used by Connection h1-l1 already, allowed: one link a port",
    ),
    "a port without device": (
        [*BASE, server_link("x", "h1", "l1/E1/9")],
        "server.port: 'h1' given, allowed: text like",
    ),
    "a long port": (
        [*BASE, server_link("x", "h1/a-very-long-name", "l1/E1/9")],
        "server.port: 'h1/a-very-long-name' given, allowed: at most 15 letters, digits, -, _ and . after the device",
    ),
    "an attachment of no VPC": (
        [*BASE, attach("x", "red", "h1-l1")],
        "VPCAttachment x: spec.subnet: no VPC 'red' in these",
    ),
    "an attachment of no subnet": (
        [*BASE, vpc("red", **NET), attach("x", "red/a", "h1-l1")],
        "VPCAttachment x: spec.subnet: no subnet 'a' in VPC red, allowed: default",
    ),
    "an attachment to nothing": (
        [*BASE, vpc("red", **NET), attach("x", "red", "nothing")],
        "VPCAttachment x: spec.connection: no Connection 'nothing' in these files",
    ),
    "a link in two VPCs": (
        [
            *BASE,
            vpc("red", **NET),
            vpc("blue", subnets={"default": {"subnet": "10.0.2.0/24"}}),
            attach("x", "red", "h1-l1"),
            attach("y", "blue", "h1-l1"),
        ],
        'VPCAttachment y: spec.subnet: "blue" given: h1-l1 is in red/default, a link is in one subnet here (--skip',
    ),
    "a long VPC": (
        [*BASE, vpc("a-tenant-of-mine", **NET)],
        "VPC a-tenant-of-mine: no VRF can be called that, allowed: at most",
    ),
    "a VPC called as a port": ([*BASE, vpc("eth1", **NET)], "tenants.eth1: 'eth1' is also the name of an interface"),
    "a VPC of nothing": ([*BASE, vpc("red")], "VPC red: spec.subnets: missing, it must be given"),
    "a subnet's name": (
        [*BASE, vpc("red", subnets={"A b": {"subnet": "10.0.1.0/24"}})],
        "VPC red: spec.subnets.A b: allowed: a name of at most 32 of a-z, 0-9 and -, a-z first",
    ),
    "a permit of one": (
        [*BASE, vpc("red", permit=[["default"]], **NET)],
        "VPC red: spec.permit[0]: ['default'] given, allowed",
    ),
    "a permit of none": (
        [*BASE, vpc("red", permit=[["default", "b"]], **NET)],
        "spec.permit[0]: no subnet 'b', allowed: default",
    ),
    "hosts with prefixes": (
        [*BASE, vpc("red", subnets={"a": {"subnet": "10.0.1.0/24", "hostBGP": True, "hostBGPMinPrefixLen": 28}})],
        "VPC red: spec.subnets.a.hostBGPMinPrefixLen: 28 given, allowed: 0 or 32",
    ),
    "outside its namespace": (
        [*BASE, document("IPv4Namespace", "default", subnets=["10.9.0.0/16"]), vpc("red", **NET)],
        "VPC red: spec.subnets.default.subnet: 10.0.1.0/24 is outside IPv4Namespace default, allowed: inside 10.9",
    ),
    "a namespace that is not there": (
        [*BASE, vpc("red", ipv4Namespace="z", **NET)],
        "VPC red: spec.ipv4Namespace: no IPv4Namespace 'z' in these files",
    ),
    "a namespace over itself": (
        [*BASE, document("IPv4Namespace", "z", subnets=["10.9.0.0/16", "10.9.1.0/24"])],
        "IPv4Namespace z: spec.subnets: 10.9.1.0/24 overlaps 10.9.0.0/16, allowed: ranges apart",
    ),
    "subnets over one another": (
        [*BASE, vpc("red", **NET), vpc("blue", subnets={"b": {"subnet": "10.0.1.128/25"}})],
        "VPC blue: spec.subnets.b.subnet: 10.0.1.128/25 overlaps red/default 10.0.1.0/24, allowed: subnets of a",
    ),
    "a VLAN outside": (
        [
            *BASE,
            document("VLANNamespace", "default", ranges=[{"from": 10, "to": 20}]),
            vpc("red", subnets={"a": {"subnet": "10.0.1.0/24", "vlan": 30}}),
        ],
        "VPC red: spec.subnets.a.vlan: 30 is outside VLANNamespace default, allowed: 10 to 20",
    ),
    "a switch's VLANs": (
        [*BASE, document("Switch", "z", role="spine", vlanNamespaces=["y"]), vpc("red", **NET)],
        "Switch z: spec.vlanNamespaces[0]: no VLANNamespace 'y' in these files",
    ),
    "a peering with nobody": (
        [*BASE, vpc("red", **NET), document("VPCPeering", "x", permit=[{"red": {}, "z": {}}])],
        "VPCPeering x: spec.permit[0].z: no VPC 'z' in these files",
    ),
    "a peering of three": (
        [*BASE, document("VPCPeering", "x", permit=[{"a": {}, "b": {}, "c": {}}])],
        "VPCPeering x: spec.permit[0]: ",
    ),
    "a peering of others": (
        [
            *BASE,
            vpc("a", **NET),
            vpc("b", subnets={"b": {"subnet": "10.0.2.0/24"}}),
            document("VPCPeering", "x", permit=[{"a": {}, "b": {}}, {"a": {}, "c": {}}]),
        ],
        "VPCPeering x: spec.permit[1]: a and c given, allowed: a and b as before",
    ),
    "a peering of no subnet": (
        [
            *BASE,
            vpc("a", **NET),
            vpc("b", subnets={"b": {"subnet": "10.0.2.0/24"}}),
            document("VPCPeering", "x", permit=[{"a": {"subnets": ["z"]}, "b": {}}]),
        ],
        "VPCPeering x: spec.permit[0].a.subnets: no subnet 'z' in VPC a, allowed: default",
    ),
    "a peering of two spaces": (
        [
            *BASE,
            document("IPv4Namespace", "z", subnets=["10.0.0.0/8"]),
            vpc("a", **NET),
            vpc("b", ipv4Namespace="z", **NET),
            document("VPCPeering", "x", permit=[{"a": {}, "b": {}}]),
        ],
        "VPCPeering x: a is in default and b is in z, allowed: VPCs of one IPv4Namespace",
    ),
    "two fabrics": (
        [*BASE, document("VPCAttachment", "x", subnet="a", connection="b", topology={"fabric": "back"})],
        "VPCAttachment x: spec.topology.fabric: 'back' given, Switch s1 is in 'default', allowed: objects of one",
    ),
    "nobody": ([document("Switch", "s1", role="spine")], "{f}: no leaf with a link, allowed: one or more"),
    "no servers": (BASE[:9], "{f}: no server with a link, allowed: one or more"),
    "a leaf without spine": (
        [*BASE, document("Switch", "l3", role="border-leaf"), server_link("x", "h1/p9", "l3/E1/1")],
        "x: wiring.links: l3 is on no spine, allowed: one cable or more",
    ),
    "a subnet too small": (
        [
            *BASE,
            vpc("red", subnets={"default": {"subnet": "10.0.1.0/31"}}),
            attach("x", "red", "h1-l1"),
            attach("y", "red", "h1-l2"),
        ],
        "x: tenants.red.subnets.default.prefix: 10.0.1.0/31 is too small: h1 needs 3 more addresses",
    ),
}


@pytest.mark.parametrize(("documents", "message"), ERRORS.values(), ids=ERRORS)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, monkeypatch, documents, message):
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    with pytest.raises(IntentError) as caught:
        plan(loads(write(convert([Path("f.yaml")], name="x"))))
    assert message.replace("{f}", "f.yaml") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for file, why in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(IntentError, match=f"^{file}: {why}, expected a YAML file of Hedgehog objects$"):
            convert([file], name="x")
    huge = tmp_path / "huge.yaml"
    huge.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(IntentError, match=f"more than {MAX_BYTES} bytes"):
        convert([huge], name="x")
