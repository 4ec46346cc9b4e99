"""Plain containerlab with 16 workers: the same image, files and topology, deployed by hand as its users would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.expect import expected_tables
from closet.intent import load
from closet.observe import kernel
from closet.plan import Fabric, plan
from closet.runtime.engine import Engine
from closet.runtime.node import LiveNode


def plain_containerlab(intent: Path) -> float:
    """Seconds from typing `containerlab deploy` until every kernel forwards as planned."""
    fabric = plan(load(intent))
    Engine().ensure_image(lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        render = [sys.executable, "-m", "closet", "render", str(intent), "-o", f"{folder}/out"]
        subprocess.run(render, check=True, capture_output=True)
        file = f"{folder}/out/{fabric.name}.clab.yml"
        env = {**os.environ, "CLAB_VERSION_CHECK": "disable", "CLAB_LABDIR_BASE": folder}
        began = time.monotonic()
        deploy = ["containerlab", "deploy", "-t", file, "--max-workers", "16"]
        done = subprocess.run(deploy, check=False, capture_output=True, text=True, env=env)
        try:
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(deploy)}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
            _wait(fabric)
            return time.monotonic() - began
        finally:
            subprocess.run(
                ["containerlab", "destroy", "-t", file, "--cleanup"], check=True, capture_output=True, env=env
            )


def _wait(fabric: Fabric) -> None:
    expected = expected_tables(fabric)
    nodes = {n: LiveNode(name=n, pid=pid, folder=Path()) for n, pid in Engine().pids(fabric.name).items()}
    late = set(nodes)

    def look() -> set[str]:
        late.difference_update({n for n in late if kernel.tables(nodes[n], fabric) == expected[n]})
        return late

    Retrying(stop=stop_after_delay(120), wait=wait_fixed(0.05), retry=retry_if_result(bool))(look)
