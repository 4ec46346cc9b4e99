"""What ibv_rc_pingpong says of a queue pair, and what is said to it."""

from __future__ import annotations

import pytest

from closet.errors import ProbeError
from closet.roce.pingpong import MESSAGE, offer, understand
from closet.roce.qp import Peer


def test_an_offer_is_as_rc_pingpong_writes_it():
    message = offer("10.0.0.129", 0x11, 0x3A5F2C)
    assert message == b"0000:000011:3a5f2c:00000000000000000000ffff0a000081\0"
    assert len(message) == MESSAGE == 52
    assert understand(message) == Peer("10.0.0.129", 0x11, 0x3A5F2C)


@pytest.mark.parametrize("message", [b"", b"SSH-2.0-x\r\n", b"0000:00:00:zz\0", b"\xff" * 52])
def test_anything_else_is_refused(message):
    with pytest.raises(ProbeError, match="no ibv_rc_pingpong"):
        understand(message)


def test_a_link_local_gid_is_refused_with_what_to_do():
    with pytest.raises(ProbeError, match="-g 1"):
        understand(b"0000:000011:3a5f2c:fe80000000000000000000fffe000081\0")
