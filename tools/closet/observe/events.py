"""Waiting by events: a netlink route monitor in every node, and no polling of daemons."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress

from closet.observe.netlink import messages
from closet.runtime.node import LiveNode

RTMGRP_IPV4_ROUTE = 0x40
RTM_NEWROUTE = 24
RTM_DELROUTE = 25


class RouteMonitor:
    """Counts route changes of many nodes at once.

    A node's count is the routes added less those deleted since the monitor began: once it has reached what
    the plan expects, it is worth looking whether they are the right ones.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.added: dict[str, int] = {}

    def watch(self, node: LiveNode, vrf: str = "default") -> None:
        """Count the route changes of a node's VRF, too."""
        s = node.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE, vrf=vrf)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        s.bind((0, RTMGRP_IPV4_ROUTE))
        self._selector.register(s, selectors.EVENT_READ, node.name)
        self.added.setdefault(node.name, 0)

    def wait(self, seconds: float) -> set[str]:
        """Names of the nodes whose routes changed, after the first change or `seconds`."""
        changed = set()
        for key, _ in self._selector.select(seconds):
            changed.add(key.data)
            self._drain(key.fileobj, key.data)  # type: ignore[arg-type]
        return changed

    def _drain(self, s: socket.socket, name: str) -> None:
        # ENOBUFS says events were lost: the node counts as changed all the same, and is looked at.
        with suppress(OSError):
            while True:
                for kind, _ in messages(s.recv(1 << 16)):
                    self.added[name] += {RTM_NEWROUTE: 1, RTM_DELROUTE: -1}.get(kind, 0)

    def close(self) -> None:
        """Close the monitors."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
