"""Work that Ctrl-C must not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let nobody hurry this: a second Ctrl-C would leave behind what the first one asked to remove."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before = signal.signal(number, signal.SIG_IGN)
                stack.callback(signal.signal, number, before or signal.SIG_DFL)
        yield


@contextmanager
def undoing() -> Iterator[ExitStack]:
    """What is called back at the end is called to its end, all of it, whoever asks to hurry and whatever fails."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        with uninterrupted():
            stack.close()


@contextmanager
def to_its_end() -> Iterator[None]:
    """Let this come to its end; who asks for another meanwhile is heard then."""
    heard: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                handlers[number] = signal.signal(number, lambda n, _: heard.append(n))
    try:
        yield
    finally:
        for kind, handler in handlers.items():
            signal.signal(kind, handler or signal.SIG_DFL)
    for asked in heard[:1]:
        signal.raise_signal(asked)
