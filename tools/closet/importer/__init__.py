"""Other people's fabrics → intents: Hedgehog's wiring diagrams and VPCs."""

from closet.importer.convert import convert
from closet.importer.write import write

__all__ = ["convert", "write"]
