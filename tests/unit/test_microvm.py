"""What a microVM boots from, and why there can be none."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import nullcontext

import pytest

from closet.errors import EnvironmentFault
from closet.intent import loads
from closet.plan import plan
from closet.runtime import accel, image, microvm, rdma, template
from closet.runtime.guest import last_words


def fabric(wish: str = "verbs", more: str = ""):
    return plan(loads(f"name: x\nspines: 1\nleaves: 1\nhosts: {{per_leaf: 2, rdma: {wish}}}\n{more}"))


def test_an_archive_is_one_that_cpio_reads(tmp_path):
    """newc by its description: fields of 8 hexadecimal digits, everything padded to 4 bytes, folders first."""
    data = image.archive({"init": "#!/bin/sh\n", "node/frr/frr.conf": b"\0\1\2"}, programs=("init",))
    found, at = {}, 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        at += (110 + fields[11] + 3) & ~3
        found[name] = (fields[1], data[at : at + fields[6]])
        at += (fields[6] + 3) & ~3
    assert found == {
        "node": (0o40755, b""),
        "node/frr": (0o40755, b""),
        "init": (0o100755, b"#!/bin/sh\n"),
        "node/frr/frr.conf": (0o100644, b"\0\1\2"),
        "TRAILER!!!": (0, b""),
    }


def test_the_scripts_are_sound():
    for name in ("init", "start", "build.sh"):
        subprocess.run(["sh", "-n", str(image.paths.labs() / "microvm" / name)], check=True)
    compile(image.programs()["node/agent.py"], "agent.py", "exec")


def test_without_a_wish_nothing_is_probed(monkeypatch):
    monkeypatch.setattr(rdma, "soft_roce", lambda: pytest.fail("probed"))
    assert rdma.choose(fabric("none")) == rdma.Choice({}, "")
    assert set(rdma.choose(fabric("endpoint")).backends.values()) == {rdma.Backend.ENDPOINT}


def test_soft_roce_where_it_works_else_microvms_else_endpoints(monkeypatch):
    monkeypatch.setattr(rdma, "soft_roce", lambda: None)
    assert set(rdma.choose(fabric("auto")).backends.values()) == {rdma.Backend.SOFT_ROCE}
    monkeypatch.setattr(rdma, "soft_roce", lambda: "no such device")
    monkeypatch.setattr(microvm, "lacks", lambda _: None)
    mixed = rdma.choose(fabric("auto", "nodes: {h1-2: {rdma: endpoint}}"))
    assert mixed.backends == {"h1-1": rdma.Backend.MICROVM, "h1-2": rdma.Backend.ENDPOINT}
    assert mixed.machines == ["h1-1"]
    monkeypatch.setattr(microvm, "lacks", lambda _: "no QEMU")
    assert rdma.choose(fabric("auto")).why == "userspace endpoints (no Soft-RoCE: no such device; no microVMs: no QEMU)"
    with pytest.raises(EnvironmentFault, match=r"^hosts.rdma: verbs: .*no such device.*no QEMU"):
        rdma.choose(fabric("verbs"))


def test_what_a_machine_lacks_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "closet doctor --install" in (microvm.lacks(1) or "")
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(microvm.os, "access", lambda path, _: path != "/dev/net/tun")
    assert "load the kernel module tun" in (microvm.lacks(1) or "")
    monkeypatch.setattr(microvm.os, "access", lambda *_: True)
    monkeypatch.setattr(microvm, "free_memory", lambda: 1000)
    assert microvm.lacks(2) is None
    assert "3 microVMs need 1248 MiB of memory, 1000 are free" in (microvm.lacks(3) or "")


def test_kvm_is_used_only_where_a_guest_was_seen_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOSET_CACHE", str(tmp_path))
    probes = [False, None, None]  # the last first
    monkeypatch.setattr(accel.os, "access", lambda *_: True)
    monkeypatch.setattr(accel, "_starts", lambda _: probes.pop())
    ready = image.Image(tmp_path, tmp_path, tmp_path)
    for _ in range(2):
        assert accel.best(ready).why == "a guest under /dev/kvm said nothing in 10 s", "nothing is decided"
    for _ in range(2):
        assert accel.best(ready).why == "no guest starts under /dev/kvm"
    next(tmp_path.glob("kvm-*")).write_text("yes")
    assert accel.best(ready).name == "KVM"
    monkeypatch.setattr(accel.os, "access", lambda *_: False)
    assert accel.best(ready).why == "no /dev/kvm"


@pytest.mark.parametrize(
    ("says", "starts"),
    [
        (f"echo '{accel.SIGN}'", True),
        (f"echo '{accel.SIGN}'; exec sleep 60", True),
        ("echo failed to initialize kvm >&2; exit 1", False),
        ("exec sleep 60", None),
    ],
)
def test_what_a_guest_under_kvm_said(monkeypatch, tmp_path, says, starts):
    """QEMU is a script here: one that ends has decided, one that takes too long has not."""
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(f"#!/bin/sh\n{says}\n")
    qemu.chmod(0o755)
    (tmp_path / "initrd").touch()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(accel, "SECONDS", 0.5)
    monkeypatch.setattr(accel.image, "archive", lambda *_, **__: b"")
    assert accel._starts(image.Image(tmp_path, tmp_path / "initrd", tmp_path)) is starts


def test_the_frequency_a_guest_is_told_is_the_counters_and_not_the_moments(monkeypatch, tmp_path):
    """Else each `up` would boot a template of its own."""
    monkeypatch.setattr(accel, "CPUINFO", tmp_path / "cpuinfo")
    for moment in ("800.017", "3391.402"):
        accel.CPUINFO.write_text(f"model name\t: x\ncpu MHz\t\t: {moment}\nbogomips\t: 5187.98\nflags\t: tsc\n")
        assert accel._tsc() == "tsc_early_khz=2594000"
    accel.CPUINFO.write_text("")
    assert accel._tsc() == ""


PANIC = """
[    2.1] ..MP-BIOS bug: 8254 timer not connected to IO-APIC
[    2.9] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug
[    2.9] CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Not tainted
[    2.9]  common_startup_64+0x13e/0x141
[    2.9]  </TASK>
[    2.9] ---[ end Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug ]---
"""


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (PANIC, "[ 2.9] Kernel panic - not syncing: IO-APIC + timer doesn't work! Boot with apic=debug"),
        ("zero\none\n\n two \nthree\n", "one | two | three"),
        ("BUG: x\nRIP: 0010:memcpy+0x1/0x2\n </TASK>\n", "BUG: x | RIP: 0010:memcpy+0x1/0x2"),
        ("closet: module x: not loaded\nlater\n", "closet: module x: not loaded"),
        ("", "nothing"),
    ],
)
def test_the_last_words_are_those_that_say_why(tmp_path, console, said):
    (tmp_path / "console.log").write_text(console)
    assert last_words(tmp_path) == said


def test_a_microvm_is_told_who_it_is_by_a_disk_of_one_size(tmp_path):
    """What differs between microVMs is there, and nowhere in QEMU's arguments."""
    host, other = fabric().hosts
    for node in (host, other):
        (tmp_path / node.name / "frr").mkdir(parents=True)
        (tmp_path / node.name / "frr" / "frr.conf").write_text(f"hostname {node.name}\n")
    disks = [microvm._identity(fabric(), node, tmp_path / node.name) for node in (host, other)]
    assert [len(d) for d in disks] == [microvm.IDENTITY] * 2
    for disk, node in zip(disks, (host, other), strict=True):
        assert disk.startswith(b"070701")
        assert f"hostname {node.name}\n".encode() in disk
        assert f"link set nic01 name eth1 address {node.ports[0].mac} netns 1\n".encode() in disk
    paths = image.Image(tmp_path / "vmlinux", tmp_path / "initrd", tmp_path / "root")
    machines = microvm.Machines(paths, accel.Accelerator("TCG", ("-accel", "tcg"), "", "", False), b"", {})
    said = " ".join(microvm._qemu((host.ports[0].mtu,), machines, 7, 8))
    assert host.name not in said
    assert host.ports[0].mac not in said


def test_a_template_is_of_its_command_and_what_is_in_its_files():
    def digest(word: str, content: bytes) -> str:
        with microvm._files(b"", content) as fds:
            return template._digest(["true", word, f"/proc/self/fd/{fds[1]}"], fds)

    with microvm._files(b"of other numbers"):
        same = digest("a", b"1")
    assert same == digest("a", b"1")
    assert len({same, digest("b", b"1"), digest("a", b"2")}) == 3


def test_a_template_that_does_not_boot_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOSET_CACHE", str(tmp_path))
    monkeypatch.setattr(template.netns, "new_netns", lambda _: os.open("/proc/self/ns/net", os.O_RDONLY))
    monkeypatch.setattr(template.netns, "inside", nullcontext)
    monkeypatch.setattr(template.netns, "make_tap", lambda _: None)
    with pytest.raises(EnvironmentFault, match=r"^the first microVM did not boot: Try 'ls --help'"):
        template.ensure(["ls", "--no-such-option"], 1, [], 1, lambda _: None)
    assert [p.name for p in tmp_path.iterdir()] == ["template.lock"]
