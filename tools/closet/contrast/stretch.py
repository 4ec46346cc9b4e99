"""Turning a running underlay into stretched bridge domains."""

from __future__ import annotations

import socket

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.contrast import design
from closet.errors import RuntimeFault
from closet.lab import Lab
from closet.observe import netlink
from closet.plan import Role

FLOOD = "00:00:00:00:00:00"
"""The forwarding entry of a VXLAN device for broadcast, unknown unicast and multicast: one a remote VTEP."""


def stretch(lab: Lab, seconds: float = 60.0) -> None:
    """Join the host ports of every leaf to stretched bridge domains, and wait until each leaf floods to all others.

    Raises:
        RuntimeFault: some leaf does not after `seconds`. ProbeError: a command was refused.
    """
    for switch in lab.fabric.switches:
        if switch.role is Role.LEAF:
            lab[switch.name].run("sh", stdin=design.plumbing(lab.fabric, switch))
        lab[switch.name].vtysh("configure terminal", *design.evpn(lab.fabric, switch))
    for host in lab.fabric.hosts:
        address = str(design.address(lab.fabric, host))
        lab[host.name].run("ip", "address", "add", address, "broadcast", "+", "dev", host.ports[0].name)
    leaves = [leaf.name for leaf in lab.fabric.role(Role.LEAF)]
    wanted = (len(leaves) - 1) * len(design.TENANTS)

    def short() -> dict[str, int]:
        return {name: n for name in leaves if (n := flood_targets(lab, name)) != wanted}

    try:
        Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.1), retry=retry_if_result(bool))(short)
    except RetryError as e:
        raise RuntimeFault(f"leaves that flood to {wanted} remote VTEPs: not {e.last_attempt.result()}") from None


def flood_targets(lab: Lab, leaf: str) -> int:
    """To how many remote VTEPs a leaf floods, over all of its VNIs in the underlay's namespace."""
    entries = netlink.neighbours(lab[leaf], socket.AF_BRIDGE)
    return sum(1 for e in entries if e.mac == FLOOD and e.address is not None)
