"""closet: a virtual AI back-end fabric, and the evidence of whether it does what its design promises."""

__version__ = "0.1.0"
