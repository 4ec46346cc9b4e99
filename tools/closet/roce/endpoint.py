"""An endpoint: queue pairs, their sockets and timers, and the loop that keeps them going."""

from __future__ import annotations

import heapq
import secrets
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from closet.roce import ports
from closet.roce.assembler import Assembler
from closet.roce.dcqcn import Dcqcn
from closet.roce.inlet import Inlet
from closet.roce.limits import Limits
from closet.roce.path import Path
from closet.roce.qp import Peer, QueuePair
from closet.roce.region import Regions
from closet.roce.requester import NEVER
from closet.roce.sockets import Sockets
from closet.roce.wire import PSN_MASK
from closet.roce.work import Work

RECEIVES = 32
"""Packets or super-packets that are taken before something is sent."""
SENDS = 4
"""Sends before something is taken."""
AWAKE = 300e-6
"""Seconds to look again without sleeping once nothing more comes: to be woken takes as long as a round trip."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a queue pair is connected with (ibv_modify_qp).

    Attributes:
        mtu: bytes of payload (`wire.MTUS`).
        tos: the IPv4 type of service: DSCP in the upper six bits, ECN in the lower two; 106 is DSCP 26 with ECT(0).
        rnr_timer: code of the time that a sender waits when no receive request is posted (`wire.RNR_SECONDS`).
        dcqcn: congestion control, or None for none.
    """

    mtu: int = 4096
    tos: int = 26 << 2 | 2
    limits: Limits = field(default_factory=Limits)
    rnr_timer: int = 12
    dcqcn: Dcqcn | None = None


class Endpoint:
    """Queue pairs on one address of the network namespace it is made in.

    Args:
        address: IPv4, this host's. device: the interface packets leave by, see `Sockets`.
        qpn: the first queue pair's number; without it, a random one.

    Raises:
        EnvironmentFault: see `Sockets`.
    """

    def __init__(self, address: str, *, device: str | None = None, qpn: int | None = None) -> None:
        self.address = address
        self.regions = Regions()
        self.qps: dict[int, QueuePair] = {}
        self.sockets = Sockets(address, device)
        self.inlet = Inlet(IPv4Address(address).packed, self.qps)
        self._out = Assembler(self.sockets.send)
        self._next_qpn = qpn if qpn is not None else secrets.randbelow(1 << 20) + 0x100
        self._active: dict[QueuePair, None] = {}
        self._timers: list[tuple[float, int, QueuePair]] = []
        self._armed: dict[QueuePair, float] = {}
        self._busy = 0.0  # when something last came or went

    def close(self) -> None:
        """Close the sockets; queue pairs are then of no use."""
        self.sockets.close()

    def number(self) -> tuple[int, int]:
        """A QPN and a first PSN for a queue pair to come: what the other end must be told (`Peer`)."""
        qpn = self._next_qpn
        self._next_qpn = qpn + 1 & PSN_MASK or 0x100
        return qpn, secrets.randbits(24)

    def connect(self, number: int, psn: int, peer: Peer, attributes: Attributes) -> QueuePair:
        """Connect a queue pair of this number: it may send and be sent to at once."""
        sport = ports.of_qps(number, peer.qpn)
        path = Path(local=self.address, remote=peer.address, sport=sport, tos=attributes.tos, mtu=attributes.mtu)
        qp = QueuePair(
            number=number,
            psn=psn,
            path=path,
            peer=peer,
            regions=self.regions,
            limits=attributes.limits,
            rnr_timer=attributes.rnr_timer,
            dcqcn=attributes.dcqcn,
        )
        self.qps[number] = qp
        return qp

    def post(self, qp: QueuePair, work: Work) -> None:
        """Ask a queue pair for something; it is under way with the next `step`."""
        qp.post(work, time.monotonic())
        self._active[qp] = None

    def step(self, seconds: float, also: Sequence[int] = ()) -> set[QueuePair]:
        """Take what has come and send what is due; if there is neither, wait.

        Args:
            seconds: how long to wait at most. also: descriptors that end the wait when they are readable.

        Returns:
            the queue pairs to which something happened: those to look at for `ended` and `received`.
        """
        inlet = self.inlet
        touched: set[QueuePair] = set()
        inlet.touched = touched
        took = self.sockets.receive(inlet, RECEIVES, time.monotonic())
        now = time.monotonic()
        self._run_timers(now, touched)
        for qp in touched:
            self._active[qp] = None
        sent = self._transmit(now)
        if took or sent or touched:
            self._busy = now
        elif now - self._busy > AWAKE:
            self._wait(now, seconds, also)
        return touched

    def _transmit(self, now: float) -> int:
        """Let active queue pairs send in turn; those with nothing to send now leave."""
        active = self._active
        sent = 0
        while active and sent < SENDS:
            qp = next(iter(active))
            del active[qp]
            at = qp.wants_to_send(now)
            if at <= now:
                qp.transmit(self._out, now)
                sent += 1
                active[qp] = None  # to the end of the queue
                at = NEVER
            self._arm(qp, min(at, qp.requester.deadline))
        return sent

    def _arm(self, qp: QueuePair, at: float) -> None:
        if at < self._armed.get(qp, NEVER):
            self._armed[qp] = at
            heapq.heappush(self._timers, (at, qp.number, qp))

    def _run_timers(self, now: float, touched: set[QueuePair]) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, _, qp = heapq.heappop(self._timers)
            if self._armed.get(qp) == at:
                del self._armed[qp]
            if qp.requester.deadline <= now:
                qp.requester.expire(now)
                touched.add(qp)
            self._active[qp] = None

    def _wait(self, now: float, seconds: float, also: Sequence[int]) -> None:
        until = self._timers[0][0] - now if self._timers else seconds
        select.select([self.sockets.fileno(), *also], (), (), max(0.0, min(seconds, until)))
