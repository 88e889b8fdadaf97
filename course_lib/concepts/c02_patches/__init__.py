"""Images and sounds as tokens."""
