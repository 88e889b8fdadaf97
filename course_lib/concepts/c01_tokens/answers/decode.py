"""Answers to decode, as learners write them."""

import codecs
import functools
import operator

import numpy as np


def decode_step_by_step(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = "".join(decoder.decode(token) for token in tokens)
    return text + decoder.decode(b"", final=True)


def decode_without_an_end(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return "".join(decoder.decode(token) for token in tokens)


RIGHT = [
    decode_step_by_step,
    lambda tokens: str(b"".join(tokens), "utf-8", "replace"),
    lambda tokens: bytes(byte for token in tokens for byte in token).decode(errors="replace"),
    lambda tokens: np.str_(codecs.decode(b"".join(tokens), errors="replace")),
]
WRONG = [
    (None, lambda tokens: functools.reduce(operator.add, tokens).decode(errors="replace")),
    (None, lambda tokens: decode_step_by_step(tokens).strip()),
    (None, decode_without_an_end),
    (None, lambda tokens: "".join(token.decode(errors="replace") for token in tokens).replace("\ufffd", "?")),
]
