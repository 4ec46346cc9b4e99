"""What a host's kernel says of RDMA: devices, their GIDs and counters."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import QueuePair, RdmaDevice
from closet.runtime.node import LiveNode

FAULTS = (
    "duplicate_request",
    "out_of_seq_request",
    "rcvd_seq_err",
    "retry_exceeded_err",
    "retry_rnr_exceeded_err",
    "completer_retry_err",
    "send_err",
)
"""Counters of rdma_rxe (drivers/infiniband/sw/rxe/rxe_hw_counters.c) that say something was lost and sent again."""
BETWEEN = "----\n"
DEVICES = (
    f"set -e; rdma -j link show; printf %s '{BETWEEN}'; rdma -j statistic show link; printf %s '{BETWEEN}';"
    ' [ -z "$(ls /sys/class/infiniband)" ] || ibv_devinfo -v'
)
"""What tells all of a host's RDMA devices: ibv_devinfo fails where there is none."""
GID = re.compile(r"GID\[\s*(\d+)\]:\s*([0-9a-f:.]+)")


def devices(node: LiveNode, fabric: Fabric) -> dict[str, RdmaDevice]:
    """Port → the RDMA device on it.

    Raises:
        ProbeError: the node is gone, or a tool did not answer.
    """
    # All at once: to start a command costs more than to run it where the host is a microVM without KVM.
    links, counters, infos = node.run("sh", "-c", DEVICES).stdout.split(BETWEEN)
    return parse_devices(_parsed(node, "link", links), _parsed(node, "statistic", counters), infos)


def counters(node: LiveNode, device: str) -> dict[str, int]:
    """The counters of an RDMA device, by name.

    Raises:
        ProbeError: see `devices`; or there is no such device.
    """
    found = parse_counters(_json(node, "statistic", "show", "link", f"{device}/1"))
    if device not in found:
        raise ProbeError(f"{node.name}: rdma statistic knows no {device}")
    return found[device]


def queue_pairs(node: LiveNode) -> list[QueuePair]:
    """The connected queue pairs of all RDMA devices of a node.

    Raises:
        ProbeError: see `devices`.
    """
    return parse_queue_pairs(_json(node, "resource", "show", "qp"))


def _json(node: LiveNode, *what: str) -> Any:
    return _parsed(node, " ".join(what), node.run("rdma", "-j", *what).stdout)


def _parsed(node: LiveNode, what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ProbeError(f"{node.name}: rdma {what} gave no JSON: {text.strip()[:80]!r}") from None


def parse_devices(links: Any, counters: Any, devinfo: str) -> dict[str, RdmaDevice]:
    """Devices out of the answers to `rdma -j link show`, `rdma -j statistic show link` and `ibv_devinfo -v`."""
    counts = parse_counters(counters)
    infos = {block.split()[0]: block for block in devinfo.split("hca_id:")[1:]}
    found = {}
    for link in links:
        info = infos.get(link["ifname"], "")
        mtu = re.search(r"active_mtu:\s*(\d+)", info)
        found[link["netdev"]] = RdmaDevice(
            name=link["ifname"],
            state=link["state"],
            mtu=int(mtu[1]) if mtu else 0,
            gids=tuple(_address(text) for _, text in GID.findall(info)),
            counters=counts.get(link["ifname"], {}),
        )
    return found


def parse_counters(said: Any) -> dict[str, dict[str, int]]:
    """Device → its counters, out of the answer to `rdma -j statistic show link`."""
    return {c["ifname"]: {k: v for k, v in c.items() if isinstance(v, int) and k != "port"} for c in said}


def parse_queue_pairs(said: Any) -> list[QueuePair]:
    """Connected queue pairs out of the answer to `rdma -j resource show qp`."""
    return [
        QueuePair(
            device=q["ifname"],
            number=q["lqpn"],
            peer=q.get("rqpn", 0),
            state=q["state"],
            send_psn=q.get("sq-psn", 0),
            receive_psn=q.get("rq-psn", 0),
        )
        for q in said
        if q["type"] == "RC"
    ]


def _address(gid: str) -> IPv4Address | IPv6Address:
    """A GID as the address it stands for (IBTA annex A17: IPv4 is mapped into IPv6)."""
    address = IPv6Address(gid)
    return address.ipv4_mapped or address
