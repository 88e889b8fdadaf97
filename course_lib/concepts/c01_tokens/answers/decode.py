"""Answers to decode, as learners write them."""

import codecs
import functools
import operator
import re

import numpy as np


def decode_step_by_step(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = "".join(decoder.decode(token) for token in tokens)
    return text + decoder.decode(b"", final=True)


def decode_without_an_end(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return "".join(decoder.decode(token) for token in tokens)


def valid(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def byte_by_byte(tokens):
    """A letter where some bytes are one, else a replacement for the first of them."""
    rest, text = b"".join(tokens), ""
    while rest:
        n = next((n for n in (1, 2, 3, 4) if valid(rest[:n])), 0)
        text += rest[:n].decode() or "\ufffd"
        rest = rest[n or 1 :]
    return text


def two_together(tokens):
    """A letter may be cut in two."""
    rest, text = list(tokens), ""
    while rest:
        token = rest.pop(0)
        if rest and not valid(token) and valid(token + rest[0]):
            token += rest.pop(0)
        text += token.decode(errors="replace")
    return text


RIGHT = [
    decode_step_by_step,
    lambda tokens: str(b"".join(tokens), "utf-8", "replace"),
    lambda tokens: bytes(byte for token in tokens for byte in token).decode(errors="replace"),
    lambda tokens: np.str_(codecs.decode(b"".join(tokens), errors="replace")),
]
WRONG = [
    (
        "reduce without a beginning",
        lambda tokens: functools.reduce(operator.add, tokens).decode(errors="replace"),
    ),
    ("white space taken off", lambda tokens: decode_step_by_step(tokens).strip()),
    ("a decoder that still waits for the other half", decode_without_an_end),
    (
        "each token alone, with question marks",
        lambda tokens: "".join(token.decode(errors="replace") for token in tokens).replace("\ufffd", "?"),
    ),
    ("a replacement for each byte", byte_by_byte),
    ("two tokens looked at together", two_together),
    (
        "one replacement for all that stand together",
        lambda tokens: re.sub("\ufffd+", "\ufffd", decode_step_by_step(tokens)),
    ),
]
