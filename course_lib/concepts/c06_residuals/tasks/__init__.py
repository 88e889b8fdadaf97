"""The tasks of 06_residuals, one in a file."""

NOTEBOOKS = (
    "parts",
    "depth",
)
