"""The tasks of 04_multi_head, one in a file."""

NOTEBOOKS = (
    "heads",
    "costs",
)
