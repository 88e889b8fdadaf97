"""The tasks of 00_overview, one in a file."""

NOTEBOOKS = ("warm_up",)
