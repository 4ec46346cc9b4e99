"""The command line. Every command says what it can not do in one line, and ends with a code that means something."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from types import FrameType

INTERRUPTED = 130
"""What a shell calls the end by SIGINT."""


def main() -> None:
    """Run the command line; the entry point."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) ignores SIGHUP, and means it
            signal.signal(number, _stop)
    # Many objects that stay, and few cycles among them: to look for those after every 700 takes a tenth of the time.
    gc.set_threshold(50_000)
    # To find out that there are no plugins, pydantic would read the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from closet.cli.group import run  # here, so that Ctrl-C is heard from the first moment

        code = run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done; another Ctrl-C would only make Python complain
    sys.exit(code)


def _stop(number: int, _: FrameType | None) -> None:
    """Tidy up and end; what is cut off in the middle of something would complain of it for pages."""
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    print(f"ended by {signal.Signals(number).name}", file=sys.stderr)
    raise SystemExit(128 + number)
