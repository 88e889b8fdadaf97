"""What a language model expects next."""
