"""BERT and GPT: both sides, or what came before."""
