"""What the plan promises, in the records that observers make. Never reads a live node."""

from closet.expect.reach import Endpoint, endpoints, expected_hops
from closet.expect.routes import expected_fibs
from closet.expect.sessions import expected_sessions

__all__ = ["Endpoint", "endpoints", "expected_fibs", "expected_hops", "expected_sessions"]
