"""The fixtures themselves: commands, sockets and captures inside a node."""

from __future__ import annotations

import socket
import subprocess
from typing import Any

from closet.expect.pairs import allowed
from closet.lab import Lab
from closet.plan import Node
from closet.records import Endpoint
from closet.runtime.node import LiveNode
from tests.conformance.changes import eventually


def test_a_command_is_judged_by_its_own_code(lab: Lab) -> None:
    node = next(iter(lab.nodes.values()))
    assert node.run("false", check=False).returncode == 1
    assert node.run("hostname").stdout.strip() == node.name


def _nic(host: Node) -> Endpoint:
    """A host's first NIC."""
    return Endpoint(host.name, host.ports[0].rail or host.loopback, host.ports[0].name)


def _assert_gone(node: LiveNode, program: str) -> None:
    """It ran where the cables end: beside a microVM, not in it."""
    assert subprocess.run(node.enter(["pgrep", "-x", program]), check=False).returncode == 1


def test_capture_sees_what_a_socket_sends(lab: Lab, capture: Any) -> None:
    from scapy.layers.inet import IP, UDP

    source = lab.fabric.hosts[0]
    target = [h for h in lab.fabric.hosts if allowed(lab.fabric, _nic(source), _nic(h))][-1]
    leaf = lab.fabric[target.ports[0].peer]
    rail = target.ports[0].rail
    seen = capture(target.name, target.ports[0].name, f"udp and dst host {rail} and dst port 4791")
    with lab[source.name].socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((str(source.ports[0].rail), 0))
        s.sendto(b"closet", (str(rail), 4791))
        packets = seen.packets(at_least=1)
    assert [(p[IP].src, p[UDP].dport, bytes(p[UDP].payload)[:6]) for p in packets] == [
        (str(source.ports[0].rail), 4791, b"closet")
    ]
    assert packets[0][IP].ttl < 64, f"routed by {leaf.name}"
    eventually(lambda: _assert_gone(lab[target.name], "tcpdump"))
