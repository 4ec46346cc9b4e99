"""Where closet's own files are: in a checkout, or beside the package in an installed copy."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[1]


def labs() -> Path:
    """What nodes are made of: recipes and installers."""
    inside = _PACKAGE / "_labs"
    return inside if inside.is_dir() else _CHECKOUT / "labs"


def conformance() -> Path:
    """The product's own test suite."""
    inside = _PACKAGE / "_conformance"
    return inside if inside.is_dir() else _CHECKOUT / "tests" / "conformance"


def cache() -> Path:
    """Where root filesystems are kept between labs: `CLOSET_CACHE`, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "closet"
    return Path(os.environ.get("CLOSET_CACHE") or default)
