"""What a queue pair is allowed, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = 7
"""An RNR retry count that does not run out (IBTA 9.7.5.2.8)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue pair is allowed, as modify_qp sets it.

    Attributes:
        timeout: code of the local ACK timeout: 4.096 µs times 2**timeout; 14 is 67 ms.
        retries: how often the same packet is tried again before the queue pair fails, 0 to 7.
        rnr_retries: the same when the other end is not ready; 7 is for ever.
        window: packets that may be unacknowledged.
        reads: READ and ATOMIC requests that may be unanswered. read_packets: packets one READ request asks for.
        ack_every: packets after which an acknowledgement is asked for; a power of two, at most half the window.
    """

    timeout: int = 14
    retries: int = 7
    rnr_retries: int = 7
    window: int = 512
    reads: int = 4
    read_packets: int = 128
    ack_every: int = 128


@dataclass(slots=True)
class Counters:
    """What happened, in packets if not said otherwise; names as rxe's hw_counters where it has one."""

    sent: int = 0
    retransmitted: int = 0
    rcvd_seq_err: int = 0  # NAKs: the other end missed something
    rcvd_rnr_err: int = 0
    missed_responses: int = 0  # READ responses or atomic answers that were skipped
    timeouts: int = 0
    duplicate_request: int = 0
    out_of_seq_request: int = 0  # gaps seen as responder
    send_rnr_err: int = 0
    naks: int = 0  # fatal ones, sent
    ce_marked: int = 0
    cnps_sent: int = 0
    cnps_handled: int = 0
