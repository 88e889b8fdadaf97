"""The tasks of 08_rnn_comparison, one in a file."""

NOTEBOOKS = (
    "recurrence",
    "chains",
)
