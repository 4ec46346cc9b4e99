"""What the design promises, one claim a check. Judging is pure: recorded observations serve as well as live ones."""

from closet.check.registry import CHECKS, Check, NodeCheck, ProbeCheck

# Importing registers, and the order is that of checks: from cause to effect, as somebody who reads findings wants it.
# isort: off
from closet.check import kernel  # noqa: F401
from closet.check import control  # noqa: F401
from closet.check import tenants  # noqa: F401
from closet.check import data  # noqa: F401
from closet.check import verbs  # noqa: F401
# isort: on

__all__ = ["CHECKS", "Check", "NodeCheck", "ProbeCheck"]
