"""What the listener makes of whole packets, where another one has the RoCEv2 port."""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption
from scapy.packet import Raw

from closet.errors import ProbeError
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.traffic.listener import HEADER, Listener, parse


@given(data=st.binary(min_size=1, max_size=64), source=st.integers(0, 65535), more=st.binary(max_size=9))
def test_a_datagram_to_the_port_is_what_it_carries(data, source, more):
    for head in (IP(), IP(options=[IPOption(b"\x01\x01\x01\x00")])):
        packet = bytes(head / UDP(sport=source, dport=UDP_PORT) / Raw(data))
        assert parse(packet + more, "10.0.0.1") == (data, ("10.0.0.1", source)), "what follows it is padding"
        other = bytes(head / UDP(sport=source, dport=UDP_PORT - 1) / Raw(data))
        assert parse(other, "10.0.0.1") == (b"", ("10.0.0.1", source))


@given(data=st.binary(max_size=80))
def test_whatever_comes_is_taken(data):
    parse(data, "10.0.0.1")


class Node:
    """A node whose sockets are this machine's; with the port taken, the raw socket is a datagram socket, too."""

    def __init__(self) -> None:
        self.kinds: list[int] = []

    def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        self.kinds.append(kind & ~socket.SOCK_NONBLOCK)
        return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


HERE = Endpoint("h1", IPv4Address("127.0.0.1"))


def test_it_is_an_ordinary_socket_where_the_port_is_free(monkeypatch):
    monkeypatch.setattr("closet.traffic.listener.UDP_PORT", 0)
    node = Node()
    listener = Listener(node, HERE)
    with pytest.raises(BlockingIOError):
        listener.receive()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(5)
        listener.send(b"tell", other.getsockname())
        data, sender = other.recvfrom(64)
        other.sendto(b"ask", sender)
        os.set_blocking(listener.fileno(), True)
        assert (data, listener.receive()) == (b"tell", (b"ask", other.getsockname()))
    assert node.kinds == [socket.SOCK_DGRAM]
    listener.close()


def test_where_the_port_is_taken_it_makes_headers_itself(monkeypatch):
    node = Node()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setattr("closet.traffic.listener.UDP_PORT", holder.getsockname()[1])
        listener = Listener(node, HERE)
        sent = []
        monkeypatch.setattr(listener, "_socket", type("S", (), {"sendto": lambda _, *a: sent.append(a)})())
        listener.send(b"tell", ("127.0.0.1", 77))
        assert sent == [(HEADER.pack(holder.getsockname()[1], 77, 12, 0) + b"tell", ("127.0.0.1", 0))]
    assert node.kinds == [socket.SOCK_DGRAM, socket.SOCK_RAW]


def test_an_address_that_is_not_there_is_an_error():
    with pytest.raises(ProbeError, match=r"h1: 192.0.2.1 port 4791: Cannot assign requested address"):
        Listener(Node(), Endpoint("h1", IPv4Address("192.0.2.1")))
