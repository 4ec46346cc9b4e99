"""`python -m closet`."""

from closet.cli import main

main()
