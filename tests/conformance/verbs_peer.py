"""Runs inside a host whose kernel has RDMA: a queue pair of pyverbs, told what to do in lines of JSON, answers each.

`python3 -u -c '...' ADDRESS`: on the device that has this address as a GID. Its memory is one region of SIZE bytes.
"""

import json
import random
import socket
import sys
import time
import zlib

import pyverbs.enums as e
from pyverbs.addr import GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context, get_device_list
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

SIZE = 1 << 20
SECONDS = 20.0
MTUS = {256: 1, 512: 2, 1024: 3, 2048: 4, 4096: 5}
RIGHTS = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_ATOMIC
OPS = {
    "send": (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM),
    "write": (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_WRITE_WITH_IMM),
    "read": (e.IBV_WR_RDMA_READ,),
    "cas": (e.IBV_WR_ATOMIC_CMP_AND_SWP,),
    "faa": (e.IBV_WR_ATOMIC_FETCH_AND_ADD,),
}


def gid_of(address):
    parts = [int(x) for x in address.split(".")]
    return "0000:0000:0000:0000:0000:ffff:{:02x}{:02x}:{:02x}{:02x}".format(*parts)


def find(address):
    for device in get_device_list():
        context = Context(name=device.name.decode())
        for index in range(8):
            try:
                if context.query_gid(1, index).gid == gid_of(address):
                    return context, index
            except Exception:
                break
    raise SystemExit(f"no RDMA device with the GID {address}")


class Peer:
    def __init__(self, address):
        self.context, self.index = find(address)
        self.pd = PD(self.context)
        self.mr = MR(self.pd, SIZE, RIGHTS)
        self.cq = CQ(self.context, 256)
        self.psn = random.randrange(1 << 24)
        attr = QPAttr(port_num=1)
        attr.qp_access_flags = RIGHTS
        cap = QPCap(max_send_wr=64, max_recv_wr=64)
        init = QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq, cap=cap, sq_sig_all=1)
        self.qp = QP(self.pd, init, attr)

    def hello(self):
        return {"qpn": self.qp.qp_num, "psn": self.psn, "rkey": self.mr.rkey, "address": self.mr.buf}

    def connect(self, qpn, psn, address, mtu, timeout):
        a = QPAttr(port_num=1)
        a.qp_access_flags = RIGHTS
        a.path_mtu = MTUS[mtu]
        a.dest_qp_num, a.rq_psn, a.sq_psn = qpn, psn, self.psn
        a.max_dest_rd_atomic = a.max_rd_atomic = 16
        # 7 retries are for ever (rxe_comp.c): rxe counts NAKs that tell of progress, too, until an ACK comes
        a.min_rnr_timer, a.timeout, a.retry_cnt, a.rnr_retry = 12, timeout, 7, 7
        route = GlobalRoute(dgid=GID(gid_of(address)), sgid_index=self.index, hop_limit=64, traffic_class=0x6A)
        a.ah_attr = AHAttr(gr=route, is_global=1, port_num=1)
        self.qp.to_rts(a)
        return {}

    def fill(self, seed):
        self.mr.write(random.Random(seed).randbytes(SIZE), SIZE)
        return {}

    def digest(self, at, size):
        return {"digest": zlib.crc32(self.mr.read(size, at))}

    def word(self, at):
        return {"word": int.from_bytes(self.mr.read(8, at), "little")}

    def receive(self, at, size):
        self.qp.post_recv(RecvWR(sg=[SGE(self.mr.buf + at, size, self.mr.lkey)], num_sge=1))
        return {}

    def post(self, op, at, size, rkey=0, remote=0, imm=None, swap=0, compare=0):
        sge = SGE(self.mr.buf + at, size, self.mr.lkey)
        wr = SendWR(opcode=OPS[op][imm is not None], num_sge=1, sg=[sge], imm_data=socket.htonl(imm or 0))
        wr.send_flags = e.IBV_SEND_SIGNALED
        if op in ("write", "read"):
            wr.set_wr_rdma(rkey, remote)
        elif op == "cas":
            wr.set_wr_atomic(rkey, remote, compare, swap)
        elif op == "faa":
            wr.set_wr_atomic(rkey, remote, swap, 0)
        self.qp.post_send(wr)
        return {}

    def poll(self):
        """The next completion: status, bytes, immediate."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            count, found = self.cq.poll(1)
            if count:
                immediate = socket.ntohl(found[0].imm_data)  # verbs keep it as it is on the wire
                return {"status": int(found[0].status), "bytes": found[0].byte_len, "immediate": immediate}
        return {"status": -1}


def main():
    peer = Peer(sys.argv[1])
    print(json.dumps(peer.hello()), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(getattr(peer, asked.pop("do"))(**asked)), flush=True)


if __name__ == "__main__":
    main()
