"""What the plan promises, in the records that observers make. Never reads a live node."""

from closet.expect.knocks import expected_knocks
from closet.expect.matrix import expected_matrix
from closet.expect.overlay import expected_l3vnis, expected_tables, expected_type5
from closet.expect.pairs import endpoints
from closet.expect.reach import expected_hops, planned_hops
from closet.expect.routes import expected_fibs
from closet.expect.sessions import expected_sessions
from closet.expect.settings import expected_settings
from closet.expect.spread import expected_spread
from closet.expect.tables import expected_table_bounds

__all__ = [
    "endpoints",
    "expected_fibs",
    "expected_hops",
    "expected_knocks",
    "expected_l3vnis",
    "expected_matrix",
    "expected_sessions",
    "expected_settings",
    "expected_spread",
    "expected_table_bounds",
    "expected_tables",
    "expected_type5",
    "planned_hops",
]
