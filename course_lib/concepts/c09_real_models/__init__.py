"""All of it with real weights."""
