"""Heads, what attention costs, and what can replace it."""
