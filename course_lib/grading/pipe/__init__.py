"""What goes between the two: calls and what they give, as plain values, and which value is which."""
