"""What the design promises, one claim a check. Judging is pure: recorded observations serve as well as live ones."""

from closet.check import control, data, kernel, tenants, verbs  # noqa: F401  importing registers
from closet.check.registry import CHECKS, Check, NodeCheck, ProbeCheck

__all__ = ["CHECKS", "Check", "NodeCheck", "ProbeCheck"]
