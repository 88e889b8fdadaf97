"""Answers to bits_per_character, as learners write them."""

import math

import numpy as np
import torch


def bits_by_loop(losses, tokens):
    total, n = 0.0, 0
    for loss, token in zip(losses.tolist(), tokens[1:], strict=True):
        total += loss / math.log(2)
        n += len(token)
    return total / n


def bits_by_probability(losses, tokens):
    """Back to the probabilities, and their logarithm to the base of 2."""
    return -torch.log2(torch.exp(-losses)).sum() / len("".join(tokens[1:]))


def bits_by_numpy(losses, tokens):
    return losses.numpy().sum() * np.log2(np.e) / len("".join(tokens)[len(tokens[0]) :])


def bits_by_weights(losses, tokens):
    """The mean of each character's share."""
    lengths = torch.tensor([len(token) for token in tokens[1:]], dtype=losses.dtype)
    return torch.repeat_interleave(losses / lengths, lengths.long()).mean() * math.log2(math.e)


def bits_in_single(losses, tokens):
    """One number, in float32 whatever comes."""
    n_characters = torch.tensor(sum(map(len, tokens[1:])), dtype=torch.float32)
    return (losses.float().sum() / n_characters) / torch.log(torch.tensor(2.0))


def characters(tokens):
    return len("".join(tokens[1:]))


RIGHT = [bits_by_loop, bits_by_probability, bits_by_numpy, bits_by_weights, bits_in_single]
WRONG = [
    ("perplexity of a character", lambda losses, tokens: torch.exp(losses.sum() / characters(tokens))),
    (
        "mean of ratios",
        lambda losses, tokens: np.mean(
            [float(x) / math.log(2) / len(t) for x, t in zip(losses, tokens[1:], strict=True)]
        ),
    ),
    ("joined by spaces", lambda losses, tokens: losses.sum() / math.log(2) / len(" ".join(tokens[1:]))),
]
