"""Whether KVM really runs microVMs here, found out by starting one: that /dev/kvm is there says little."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from closet import paths
from closet.runtime import image
from closet.runtime.image import Image

SIGN = "closet: a guest runs"
SECONDS = 10.0
"""How long a guest under KVM may take for its first word: it needs less than one."""

CPUINFO = Path("/proc/cpuinfo")
CPU = "max,-erms,-fsrm,-la57"
"""What TCG plays: all it can, but for what makes it slow: string moves byte by byte, and a fifth level of tables."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How QEMU runs a guest.

    Attributes:
        options: of QEMU. words: of the guest's kernel.
        why: in a few words.
        quick: whether a guest boots in no time.
    """

    name: str
    options: tuple[str, ...]
    words: str
    why: str
    quick: bool


def best(ready: Image) -> Accelerator:
    """KVM where a guest really starts under it, else TCG; decided once each time the machine boots."""
    why = _why_not_kvm(ready)
    if why is None:
        return Accelerator("KVM", ("-accel", "kvm", "-cpu", "host"), "", "a guest runs under /dev/kvm", True)
    # The time stamp counter of TCG is the machine's, which may jump: the guest must not keep time by it.
    return Accelerator("TCG", ("-accel", "tcg", "-cpu", CPU), f"clocksource=hpet {_tsc()}", why, False)


def _tsc() -> str:
    """Spare the guest to measure the counter's frequency, which takes long and goes wrong when others are busy.

    It is half the BogoMIPS, which Linux works out from it (arch/x86/kernel/tsc.c: tsc_init), in whole MHz, which is as
    well as it is measured; "cpu MHz" is that of the moment.
    """
    found = re.search(r"^bogomips\s*: ([\d.]+)", CPUINFO.read_text(encoding="ascii"), re.MULTILINE)
    return f"tsc_early_khz={round(float(found[1]) / 2) * 1000}" if found else ""


def _why_not_kvm(ready: Image) -> str | None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    verdict = paths.cache() / f"kvm-{boot}"
    if not verdict.exists():
        if (starts := _starts(ready)) is None:  # a busy machine says nothing about KVM
            return f"a guest under /dev/kvm said nothing in {SECONDS:g} s"
        for old in paths.cache().glob("kvm-*"):
            old.unlink(missing_ok=True)
        verdict.write_text("yes" if starts else "no", encoding="ascii")
    return None if verdict.read_text(encoding="ascii") == "yes" else "no guest starts under /dev/kvm"


def _starts(ready: Image) -> bool | None:
    """Whether a guest says its word under KVM; None if it has not in time, and still might."""
    init = f"#!/bin/sh\nmount -t devtmpfs dev /dev\necho '{SIGN}' >/dev/ttyS0\npoweroff -f\n"
    probe = os.memfd_create("initrd")
    try:
        os.write(probe, ready.initrd.read_bytes() + image.archive({"init": init}, programs=("init",)))
        done = subprocess.run(
            [
                *("qemu-system-x86_64", "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "128", "-nodefaults"),
                *("-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
                *("-kernel", str(ready.kernel), "-initrd", f"/proc/self/fd/{probe}"),
                *("-append", "console=ttyS0 quiet panic=-1"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[probe],
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        return SIGN.encode() in (e.stdout or b"") or None
    finally:
        os.close(probe)
    return SIGN.encode() in done.stdout
