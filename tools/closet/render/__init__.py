"""`Fabric` → files. Pure: the same fabric always gives the same bytes."""

from closet.render.files import Files, render, render_node

__all__ = ["Files", "render", "render_node"]
