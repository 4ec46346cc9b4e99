"""What a person declares: a small YAML file, one file one fabric."""

from closet.intent.load import load, loads
from closet.intent.model import Intent

__all__ = ["Intent", "load", "loads"]
