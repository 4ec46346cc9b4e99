"""What a diagram asks for that an intent does not say, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from closet.errors import IntentError
from closet.importer.objects import Object
from closet.intent.text import Place, short

WHY = {
    "bundled": "a port channel; every link is a BGP session of its own here",
    "eslag": "a port channel over several leaves; every link is a BGP session of its own here",
    "mclag": "a port channel over two leaves; every link is a BGP session of its own here",
    "mclagDomain": "a pair of leaves that act as one; every leaf is its own here",
    "dhcp": "hosts announce their addresses by BGP here, nobody hands them out",
    "hostBGPExtraPrefixes": "the addresses of NICs come from the subnet here",
    "roce": "no lossless queues in a fabric of this kind yet",
    "ecmp": "the kernel hashes no queue pair numbers",
    "linkFlapErrDisable": "no port is switched off for its flaps here",
    "staticRoutes": "routes come from BGP here",
    "external": "no way out of the fabric here",
    "staticExternal": "no way out of the fabric here",
    "gateway": "no gateways here",
    "vpcLoopback": "a switch's workaround that nothing here needs",
}
"""Key → why closet has no counterpart to it."""


@dataclass(slots=True)
class Leftovers:
    """Collects what has no counterpart, so that all of it can be refused or listed.

    Attributes:
        found: what was left out, by file and line.
        notes: what became something else than it was, or says nothing here.
    """

    skip: bool
    found: list[tuple[str, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave(self, obj: Object, at: Place, value: Any = None, why: str = "") -> None:
        """Leave out something of an object; of all of it at the place `()`."""
        scalar = value is not None and not isinstance(value, dict | list)
        given = f": {short(json.dumps(value, default=str))} given" if scalar else ""
        reason = why or WHY.get(str(at[-1]) if at else "", "closet has no counterpart")
        self.found.append((obj.source, obj.line(at), f"{obj.where(at)}{given}: {reason}"))

    @property
    def skipped(self) -> list[str]:
        """What was left out, with its place, in the order of the files."""
        return [text for _, _, text in sorted(self.found, key=lambda one: one[:2])]

    def note(self, text: str) -> None:
        """Say what became of something."""
        self.notes.append(text)

    def settle(self) -> None:
        """Refuse what has no counterpart, unless it may be left out.

        Raises:
            IntentError: the first of it, and how much more there is.
        """
        if self.found and not self.skip:
            first, *more = self.skipped
            others = f"{len(more)} more; " if more else ""
            raise IntentError(f"{first} ({others}--skip-unsupported leaves out and lists)")
