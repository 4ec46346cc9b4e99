"""Does a switch's control plane answer a host: TCP and UDP tried from hosts, each with a ping as control."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Container, Iterable, Mapping

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import Knock
from closet.runtime.node import LiveNode
from closet.traffic.echo import Echo

SETTLE = 0.05
"""Seconds an answer may come after the echo that was sent behind the knock on the same path."""
AGAIN = 0.5
"""Seconds after which a ping that was not answered is sent again."""
CUT_OFF = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
"""What the kernel says of a host whose link is down."""

Target = tuple[str, str]
"""(host, address)."""


def knock(
    fabric: Fabric, nodes: Mapping[str, LiveNode], expected: Mapping[Knock, str], *, seconds: float = 2.0
) -> dict[Knock, str]:
    """Try every door; knock → "silent", "refused", "open", or "no ping" where even ICMP gets no answer.

    The ping is sent after the knock, from and to the same addresses: once it has been answered and a little
    more time has passed, silence is an answer.

    Raises:
        ProbeError: a host could not send.
    """
    sockets = {k: _try(nodes[k.host], k) for k in expected}
    try:
        pinged = ping_all(
            nodes,
            {(k.host, k.address) for k in expected},
            seconds,
            nobody={(k.host, k.address) for k, want in expected.items() if want == "no ping"},
        )
        answers = _listen(sockets)
    finally:
        for s in sockets.values():
            s.close()
    return {k: "no ping" if answers[k] == "silent" and not pinged[k.host, k.address] else answers[k] for k in expected}


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _address(node: LiveNode, address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """As sockets want it; an IPv6 link-local address says its port after a %."""
    if _family(address) is socket.AF_INET:
        return address, port
    host, _, scope = address.partition("%")
    return host, port, 0, node.index(scope)


def _try(node: LiveNode, k: Knock) -> socket.socket:
    kind = socket.SOCK_STREAM if k.protocol == "TCP" else socket.SOCK_DGRAM
    s = node.socket(_family(k.address), kind | socket.SOCK_NONBLOCK)
    error = s.connect_ex(_address(node, k.address, k.port))
    if error == 0 and k.protocol == "UDP":
        s.send(b"closet")
    if error not in {0, errno.EINPROGRESS}:
        s.close()
        raise ProbeError(f"{k.host}: {k}: {errno.errorcode.get(error, error)}")
    return s


def _listen(sockets: Mapping[Knock, socket.socket]) -> dict[Knock, str]:
    """What became of each knock: for TCP a connection or a reset, for UDP an answer or an ICMP error."""
    found = dict.fromkeys(sockets, "silent")
    poll = select.poll()
    waiting = {}
    for k, s in sockets.items():
        poll.register(s, select.POLLOUT if k.protocol == "TCP" else select.POLLIN)
        waiting[s.fileno()] = k
    end = time.monotonic() + SETTLE
    while waiting and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            k = waiting.pop(fd)
            poll.unregister(fd)
            error = sockets[k].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[k] = {0: "open", errno.ECONNREFUSED: "refused"}.get(error, "silent")
    return found


def ping_all(
    nodes: Mapping[str, LiveNode], targets: Iterable[Target], seconds: float, *, nobody: Container[Target] = ()
) -> dict[Target, bool]:
    """Whether each address answers an echo of its host, asked again until it does or `seconds` are over.

    Args:
        nobody: targets that should not answer: these have as long as the others take, and a little more.

    Raises:
        ProbeError: an echo could not be sent; but of those that should answer, one from a host that is cut off only is
            not answered.
    """
    found = dict.fromkeys(targets, False)
    kinds = {(host, _family(address)) for host, address in found}
    proto = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
    sockets = {(h, f): nodes[h].socket(f, socket.SOCK_RAW | socket.SOCK_NONBLOCK, proto[f]) for h, f in kinds}
    by_fd = {s.fileno(): kind for kind, s in sockets.items()}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    echoes = {family: Echo(family) for family in proto}
    to = {(h, a): _address(nodes[h], a, 0) for h, a in found}
    end, again = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        if all(answered or t in nobody for t, answered in found.items()):
            end = min(end, time.monotonic() + SETTLE)
        if time.monotonic() >= again:
            for host, address in (t for t, answered in found.items() if not answered):
                request, must = echoes[_family(address)].request(), (host, address) not in nobody
                _ask(host, sockets[host, _family(address)], request, to[host, address], must=must)
            again = time.monotonic() + AGAIN
        for fd, _ in poll.poll(50):
            host, family = by_fd[fd]
            who = _answering(sockets[host, family], echoes[family])
            for target in found:
                if target[0] == host and target[1].partition("%")[0] == who:
                    found[target] = True
    for s in sockets.values():
        s.close()
    return found


def _ask(
    host: str, s: socket.socket, request: bytes, to: tuple[str, int] | tuple[str, int, int, int], *, must: bool
) -> None:
    """Ask for an echo that must come back or must not."""
    try:
        s.sendto(request, to)
    except OSError as e:
        if e.errno not in CUT_OFF or not must:
            raise ProbeError(f"{host}: echo to {to[0]}: {e.strerror}") from None


def _answering(s: socket.socket, echo: Echo) -> str:
    """Who answered one of these echoes, or "" if this was something else."""
    data, sender = s.recvfrom(64)
    return str(sender[0]).partition("%")[0] if echo.answered(data) is not None else ""
