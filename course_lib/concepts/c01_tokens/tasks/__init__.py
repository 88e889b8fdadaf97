"""The tasks of 01_tokens, one in a file."""

NOTEBOOKS = (
    "byte_pairs",
    "word_vectors",
)
