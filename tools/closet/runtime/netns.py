"""Linux namespaces by system call: what `ip netns` and `unshare` do, without a process each.

Only the calling thread moves; setns(2) and unshare(2) are per thread for network and mount namespaces.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
"""include/uapi/linux/if_tun.h"""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> None:
    if getattr(_libc(), name)(*args) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")


@contextmanager
def inside(fd: int) -> Iterator[None]:
    """Be in the network namespace `fd` refers to; sockets opened there stay there.

    Raises:
        OSError: no permission, or no network namespace.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)


def new_netns(settings: dict[str, int]) -> int:
    """Make a network namespace with these sysctls and `lo` up; returns a descriptor that keeps it alive."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", CLONE_NEWNET)
        try:
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            write_sysctls(settings)
        finally:
            _call("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)
    return fd


def write_sysctls(settings: dict[str, int]) -> None:
    """Set sysctls of the network namespace this thread is in.

    Raises:
        OSError: the kernel has no such setting, or refuses the value.
    """
    for name, value in settings.items():
        fd = os.open("/proc/sys/" + name.replace(".", "/"), os.O_WRONLY)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)


def make_tap(name: str) -> None:
    """Make a tap device in the network namespace this thread is in; it lives as long as that.

    Raises:
        OSError: no /dev/net/tun, no permission, or the name is taken.
    """
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    finally:
        os.close(fd)


def private_mounts() -> None:
    """Give this thread a mount namespace of its own: what it mounts, the machine never sees."""
    _call("unshare", CLONE_NEWNS)
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def mount_overlay(lower: str, upper: str, work: str, target: str) -> None:
    """Mount an overlay (Linux Documentation/filesystems/overlayfs.rst)."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}".encode()
    _call("mount", b"overlay", target.encode(), b"overlay", 0, options)


def detach(target: str) -> None:
    """Unmount lazily: whoever is inside keeps it."""
    _call("umount2", target.encode(), MNT_DETACH)
