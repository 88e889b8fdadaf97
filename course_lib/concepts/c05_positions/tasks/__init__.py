"""The tasks of 05_positions, one in a file."""

NOTEBOOKS = (
    "places",
    "rotation",
)
