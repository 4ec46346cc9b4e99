"""The command line. Every command says what it can not do in one line, and ends with a code that means something."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; the entry point."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) ignores SIGHUP, and means it
            signal.signal(number, _stop)
    try:
        from closet.cli.group import run  # here, so that Ctrl-C is heard from the first moment

        code = run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done; another Ctrl-C would only make Python complain
    sys.exit(code)


def _stop(number: int, _: FrameType | None) -> None:
    """End as by Ctrl-C, with all that is tidied up then."""
    print(f"ended by {signal.Signals(number).name}", file=sys.stderr)
    raise SystemExit(128 + number)
