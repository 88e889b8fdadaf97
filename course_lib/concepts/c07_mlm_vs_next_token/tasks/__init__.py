"""The tasks of 07_mlm_vs_next_token, one in a file."""

NOTEBOOKS = (
    "asking",
    "writing",
)
