"""The tasks of 03_qkv, one in a file."""

NOTEBOOKS = (
    "attention_by_hand",
    "attention_in_torch",
)
