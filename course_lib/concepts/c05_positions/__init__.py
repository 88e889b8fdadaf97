"""Places: how a set becomes a sequence."""
