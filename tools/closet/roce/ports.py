"""UDP source ports: the entropy by which ECMP tells queue pairs apart (Linux include/rdma/ib_verbs.h)."""

from __future__ import annotations

FIRST = 0xC000
"""IB_ROCE_UDP_ENCAP_VALID_PORT_MIN."""
FLOW_LABEL = 0xFFFFF


def flow_label(local: int, remote: int) -> int:
    """`rdma_calc_flow_label`: a flow label of two QP numbers, the same from either end."""
    v = local * remote
    v ^= v >> 20
    v ^= v >> 40
    return v & FLOW_LABEL


def udp_sport(label: int) -> int:
    """`rdma_flow_label_to_udp_sport`: the source port of a flow label, 49152 to 65535."""
    return ((label & 0x3FFF) ^ ((label & 0xFC000) >> 14)) | FIRST


def of_qps(local: int, remote: int) -> int:
    """`rdma_get_udp_sport` without a flow label: the source port of a connection by its QP numbers."""
    return udp_sport(flow_label(local, remote))
