"""`python -m closet.roce.pingpong ADDRESS [SERVER]`: the other end of rdma-core's ibv_rc_pingpong.

The two ends tell each other their queue pairs over TCP, as libibverbs/examples/rc_pingpong.c does: LID, QPN, PSN and
GID in hexadecimal. Then SENDs go to and fro. Either end may be ibv_rc_pingpong, on any RoCEv2 device.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from ipaddress import IPv4Address, IPv6Address

from closet.errors import ClosetError, DeadlineError, ProbeError
from closet.roce.endpoint import Attributes, Endpoint
from closet.roce.qp import Peer, QueuePair
from closet.roce.work import Status, Verb, Work

TCP_PORT = 18515
MESSAGE = len("0000:000000:000000:00000000000000000000000000000000") + 1
DEPTH = 500
"""Receive requests each end posts."""
DONE = b"done\0"


def offer(address: str, qpn: int, psn: int) -> bytes:
    """What an end says of its queue pair: the LID is 0 on Ethernet, the GID is the IPv4 address, mapped."""
    gid = IPv6Address(f"::ffff:{address}").packed.hex()
    return f"0000:{qpn:06x}:{psn:06x}:{gid}".encode() + b"\0"


def understand(message: bytes) -> Peer:
    """The other end, by what it says of itself.

    Raises:
        ProbeError: this is no such message, or its GID is no IPv4 address.
    """
    try:
        _, qpn, psn, gid = message.rstrip(b"\0").decode("ascii").split(":")
        address = IPv6Address(bytes.fromhex(gid)).ipv4_mapped
        peer = Peer(str(address), int(qpn, 16), int(psn, 16))
    except ValueError:
        raise ProbeError(f"the other end is no ibv_rc_pingpong: it says {message[:60]!r}") from None
    if address is None:
        raise ProbeError(f"the other end uses GID {gid}: allowed is that of an IPv4 address (ibv_rc_pingpong -g 1)")
    return peer


def exchange(endpoint: Endpoint, server: str | None, port: int, seconds: float) -> tuple[int, int, Peer, socket.socket]:
    """Tell the other end of a new queue pair, and hear of its: (QPN, PSN, peer, the connection).

    Raises:
        ProbeError: nobody is there, or it says something else.
    """
    qpn, psn = endpoint.number()
    mine = offer(endpoint.address, qpn, psn)
    try:
        if server is not None:
            s = socket.create_connection((server, port), seconds, source_address=(endpoint.address, 0))
            s.sendall(mine)
            return qpn, psn, understand(_read(s)), s
        with socket.create_server((endpoint.address, port), reuse_port=True) as listener:
            listener.settimeout(seconds)
            s, _ = listener.accept()
        s.settimeout(seconds)
        return qpn, psn, understand(_read(s)), s
    except OSError as e:
        raise ProbeError(f"ibv_rc_pingpong at {server or endpoint.address}, TCP {port}: {e.strerror or e}") from None


def _read(s: socket.socket) -> bytes:
    data = b""
    while len(data) < MESSAGE and (more := s.recv(MESSAGE - len(data))):
        data += more
    return data


def pingpong(
    endpoint: Endpoint, server: str | None, *, times: int, size: int, mtu: int, port: int, seconds: float
) -> float:
    """SEND and be sent to so many times; returns the seconds that took.

    Args:
        server: the other end's address; without it, wait for one that connects.
        size: bytes of a message. mtu: bytes of payload of a packet (ibv_rc_pingpong's default is 1024).
        seconds: when to give up.

    Raises:
        ProbeError: see `exchange`. DeadlineError: it did not end in time, or failed; says the queue pair's state.
    """
    qpn, psn, peer, s = exchange(endpoint, server, port, seconds)
    with s:
        qp = endpoint.connect(qpn, psn, peer, Attributes(mtu=mtu))
        memory = memoryview(bytearray(size))
        for _ in range(DEPTH):
            qp.post_receive(memory)
        if server is None:
            s.sendall(offer(endpoint.address, qpn, psn))
            s.recv(MESSAGE)  # "done"
        else:
            s.sendall(DONE)
        began = time.monotonic()
        _play(endpoint, qp, times, memory, began + seconds, first=server is not None)
        return time.monotonic() - began


def _play(endpoint: Endpoint, qp: QueuePair, times: int, memory: memoryview, end: float, *, first: bool) -> None:
    sent = got = ended = 0
    if first:
        endpoint.post(qp, Work(Verb.SEND, memory))
        sent = 1
    while got < times or ended < times:
        if time.monotonic() > end:
            raise DeadlineError(f"{got} of {times} messages came: {qp.state()}")
        endpoint.step(0.1)
        while qp.ended:
            if qp.ended.popleft().status is not Status.SUCCESS:
                raise DeadlineError(f"{got} of {times} messages came: {qp.state()}")
            ended += 1
        while qp.received:
            qp.post_receive(qp.received.popleft().memory)
            got += 1
        while sent < times and sent < got + first and sent == ended:
            endpoint.post(qp, Work(Verb.SEND, memory))
            sent += 1
    for _ in range(20):  # the last acknowledgement must still go out, and may have to again
        endpoint.step(0.01)


def main() -> int:
    """Run one end."""
    parser = argparse.ArgumentParser(prog="python -m closet.roce.pingpong", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("server", nargs="?", help="the other end; without it, wait for one")
    parser.add_argument("-n", "--iters", type=int, default=1000)
    parser.add_argument("-s", "--size", type=int, default=4096)
    parser.add_argument("-m", "--mtu", type=int, default=1024)
    parser.add_argument("-p", "--port", type=int, default=TCP_PORT)
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    try:
        IPv4Address(asked.address)
        endpoint = Endpoint(asked.address)
        took = pingpong(
            endpoint,
            asked.server,
            times=asked.iters,
            size=asked.size,
            mtu=asked.mtu,
            port=asked.port,
            seconds=asked.seconds,
        )
    except (ClosetError, ValueError) as e:
        print(f"pingpong: {e}", file=sys.stderr)
        return 3
    rate = 2 * asked.iters * asked.size * 8 / took / 1e6
    print(f"{asked.iters} iters in {took:.2f} seconds = {took / asked.iters * 1e6:.2f} usec/iter, {rate:.2f} Mbit/sec")
    return 0


if __name__ == "__main__":
    sys.exit(main())
