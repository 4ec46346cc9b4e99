"""Hostile packets, many of them: `python -m tests.unit.roce.fuzz PACKETS [SEED]`.

A connected queue pair is given packets that are random, or that were good once and have been damaged, cut, repeated,
reordered or forged, with and without a right ICRC. In between both ends go on with what that made of them: they send,
their timers expire, more is asked for, and half of what they say arrives. Whatever it was: nothing is raised, no byte
outside a region changes, and none that the region's rights do not allow; every request ends once, in order.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

from closet.roce import icrc
from closet.roce.dcqcn import Dcqcn
from closet.roce.limits import Limits
from closet.roce.region import Access
from closet.roce.wire import ICRC, Op
from closet.roce.work import Verb, Work

from .channel import Channel

GUARD = b"\xee" * 4096
SIZE = 4096
SENDS = 8
LIMITS = Limits(window=64, ack_every=16, read_packets=8)


class Target:
    """Two hosts that talk; what is said between them is known to the attacker, and so are all keys."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.reached = 0
        self.channel = Channel()
        self.channel.keep = True
        self.a, self.b = self.channel.connect(limits=LIMITS, psn=(0, 0), dcqcn=Dcqcn())
        self.posted: list[Work] = []
        regions = self.channel.hosts[1].regions
        # One block of memory, of which the peer may write a part, read another, and nothing of what is around them.
        self.memory = bytearray(GUARD + bytes(SIZE) + GUARD + b"\xaa" * SIZE + GUARD)
        view = memoryview(self.memory)
        self.writable = regions.register(view[4096:8192], Access.WRITE | Access.ATOMIC)
        self.readable = regions.register(view[12288:16384], Access.READ)
        self.given = bytearray(GUARD + bytes(1024) + GUARD)
        self.mine = bytearray(GUARD + bytes(2048) + GUARD)
        self._talk()

    def _talk(self) -> None:
        for _ in range(8):
            self.b.post_receive(memoryview(self.given)[4096:-4096])
        works = self._works()
        for work in works:
            self._ask(work)
        if not self.channel.run(lambda: len(self.a.ended) == len(works), 1.0):
            raise AssertionError(f"the good packets did not get through: {self.a}")
        # One more is left under way, so that answers have something to answer.
        self._ask(self._works()[3])
        self.a.transmit(self.channel.hosts[0].out, self.channel.now)

    def _works(self) -> tuple[Work, ...]:
        mine, w, r = memoryview(self.mine)[4096:-4096], self.writable, self.readable
        return (
            Work(Verb.WRITE, mine[:1500], address=w.address + 100, rkey=w.rkey),
            Work(Verb.WRITE, mine[:40], address=w.address, rkey=w.rkey, immediate=7),
            Work(Verb.SEND, mine[:700]),
            Work(Verb.READ, mine, address=r.address, rkey=r.rkey),
            Work(Verb.FETCH_ADD, mine[:8], address=w.address, rkey=w.rkey, swap=1),
            Work(Verb.COMPARE_SWAP, mine[:8], address=w.address + 8, rkey=w.rkey),
        )

    def _ask(self, work: Work) -> None:
        self.posted.append(work)
        self.a.post(work, self.channel.now)

    def attack(self, packets: int) -> None:
        """Send so many bad packets to both ends."""
        take = [host.inlet.take for host in self.channel.hosts]
        flush = [host.inlet.flush for host in self.channel.hosts]
        corpus = list(self.channel.sent)
        self.channel.keep = False
        for qp in (self.a, self.b):
            qp.take = self._counted(qp.take)  # type: ignore[method-assign]
        for _ in range(packets):
            packet = self._mutate(self.rng.choice(corpus), corpus)
            to = 1 if packet[12:20] == corpus[0][12:20] else self.rng.randrange(2)
            take[to](memoryview(packet), self._segment(packet), self.channel.now)
            if self.rng.random() < 0.3:
                flush[to](self.channel.now)
                self._go_on()

    def _counted(self, take: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: Any) -> None:
            self.reached += 1
            take(*args)

        return counted

    def _segment(self, packet: bytes) -> int:
        return self.rng.choice((0, 0, 0, 1, 15, 16, 272, len(packet), 65535))

    def _go_on(self) -> None:
        """Time passes, and both ends do what is due; half of what they send arrives."""
        rng, channel = self.rng, self.channel
        channel.now += rng.choice((0.0, 1e-6, 1e-4, 0.1))  # the last of these is beyond the timeout
        if rng.random() < 0.2:
            self._ask(rng.choice(self._works()))
        for host, qp in zip(channel.hosts, (self.a, self.b), strict=True):
            qp.requester.expire(channel.now)
            for _ in range(SENDS):
                if qp.wants_to_send(channel.now) <= channel.now:
                    qp.transmit(host.out, channel.now)
        under_way = sorted(channel._events)
        channel._events.clear()
        for _, _, to, packet, segment in under_way:
            if rng.random() < 0.5:
                channel.hosts[to].inlet.take(memoryview(packet), segment, channel.now)
        for host in channel.hosts:
            host.inlet.flush(channel.now)

    def _mutate(self, good: bytes, corpus: list[bytes]) -> bytes:
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            return rng.randbytes(rng.choice((0, 10, 28, 43, 44, 60, 300)))
        p = bytearray(good)
        if kind == 1:  # cut, or longer than it was
            p = p[: rng.randrange(len(p))] if rng.random() < 0.7 else p + rng.randbytes(rng.randrange(400))
        elif kind == 2:  # two joined, as a super-packet
            p += rng.choice(corpus)[28:]
        elif kind == 3:  # any bytes
            for _ in range(rng.randrange(1, 6)):
                p[rng.randrange(len(p))] = rng.randrange(256)
        else:
            self._forge(p, kind)
        if len(p) >= 44 and rng.random() < 0.9:  # most of them are well-made, or nothing would look at them
            p[0] = 0x45
            p[2:4] = (len(p) & 0xFFFF).to_bytes(2, "big")
            p[24:26] = (len(p) - 20 & 0xFFFF).to_bytes(2, "big")
            if p[9] == 17:
                p[-4:] = ICRC.pack(icrc.of_packet(bytes(p)))
        return bytes(p)

    def _forge(self, p: bytearray, kind: int) -> None:
        """Another opcode, pad count, PSN near the expected one, and what a RETH would be."""
        rng = self.rng
        p[28] = rng.choice((rng.randrange(0x18), rng.randrange(0x18), Op.CNP, rng.randrange(256)))
        p[1] |= rng.choice((0, 0, 3))  # congestion experienced
        if kind == 5:
            p[29] = rng.randrange(256)
        if kind == 6 and len(p) > 60:
            at = rng.randrange(40, 56)
            p[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4)))
        ends = (self.b.responder.expected, self.a.requester._wire(self.a.requester._oldest))
        psn = rng.choice((*ends, rng.randrange(1 << 24))) + rng.choice((0, 0, 0, 1, -1, 5)) & 0xFFFFFF
        p[37:40] = psn.to_bytes(3, "big")

    def check(self) -> None:
        """Raise if anything changed that must not."""
        m = self.memory
        changed = {
            "before the writable region": m[:4096] != GUARD,
            "between the regions": m[8192:12288] != GUARD,
            "the read-only region": m[12288:16384] != b"\xaa" * SIZE,
            "behind the read-only region": m[16384:] != GUARD,
            "around a receive request": self.given[:4096] + self.given[-4096:] != GUARD * 2,
            "around a READ's memory": self.mine[:4096] + self.mine[-4096:] != GUARD * 2,
        }
        if wrong := [where for where, bad in changed.items() if bad]:
            raise AssertionError(f"bytes changed {', '.join(wrong)}")
        ended, r = list(self.a.ended), self.a.requester
        if ended != self.posted[: len(ended)] or any(w.status is None for w in ended):
            raise AssertionError(f"{ended} ended, of {self.posted}")
        if [*r._sent, *r._to_send] != self.posted[len(ended) :] or not r._oldest <= r._cursor <= r._furthest:
            raise AssertionError(f"{self.a} with {self.posted[len(ended) :]} not ended")


def fuzz(packets: int, seed: int, each: int = 50) -> int:
    """Attack fresh targets with `each` packets until so many were sent; returns how many reached a queue pair."""
    rng = random.Random(seed)
    reached = sent = 0
    while sent < packets:
        target = Target(rng)
        target.attack(each)
        target.check()
        sent += each
        reached += target.reached
    return reached


if __name__ == "__main__":
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    got = fuzz(count, first)
    took = time.monotonic() - began
    print(f"{count} packets, {got} of them taken by a queue pair, in {took:.1f} s: nothing raised, nothing changed")
