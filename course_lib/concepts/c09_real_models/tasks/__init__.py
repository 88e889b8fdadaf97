"""The tasks of 09_real_models, one in a file."""

NOTEBOOKS = (
    "weights",
    "my_transformer",
)
