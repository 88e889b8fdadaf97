"""What comes in: who handed in what, a notebook as data, a test of the source and what it may use."""
