"""The tasks of 02_patches, one in a file."""

NOTEBOOKS = (
    "images",
    "sound",
)
