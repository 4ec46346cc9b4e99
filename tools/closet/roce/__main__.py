"""`python -m closet.roce ADDRESS [DEVICE]`: a worker (see `worker`) in the network namespace it is started in."""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path

from closet.errors import ClosetError
from closet.roce.endpoint import Endpoint
from closet.roce.worker import Worker, say


def main() -> None:
    """Run a worker."""
    parser = argparse.ArgumentParser(prog="python -m closet.roce", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--device", help="packets leave by this interface")
    parser.add_argument("--qpn", type=int, help="the first queue pair's number; random without it")
    parser.add_argument("--seed", type=int, default=0, help="of the bytes the memory is filled with")
    parser.add_argument("--every-second-cpu", type=int, choices=(0, 1), help="from this one on: two ends share none")
    asked = parser.parse_args()
    if asked.every_second_cpu is not None and (cpus := sorted(os.sched_getaffinity(0))[asked.every_second_cpu :: 2]):
        os.sched_setaffinity(0, cpus)  # or the one that is woken is woken where the other one works
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a socket each source port
    Path("/proc/self/timerslack_ns").write_text("1")  # or the kernel lets a paced sender sleep 50 µs longer
    try:
        endpoint = Endpoint(asked.address, device=asked.device, qpn=asked.qpn)
    except ClosetError as e:
        say({"error": str(e)})
        return
    say({"ready": asked.address})
    try:
        Worker(endpoint, asked.seed).serve()
    finally:
        endpoint.close()


if __name__ == "__main__":
    main()
