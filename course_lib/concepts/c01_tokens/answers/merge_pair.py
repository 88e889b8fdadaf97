"""Answers to merge_pair, as learners write them."""

import re
from collections import deque
from itertools import pairwise

import numpy as np


def merge_by_stack(tokens, pair):
    """A merged token is fresh: it takes no part in another merge."""
    out, fresh = [], True
    for token in tokens:
        if not fresh and (out[-1], token) == tuple(pair):
            out[-1] += token
            fresh = True
        else:
            out.append(token)
            fresh = False
    return out


def merge_by_recursion(tokens, pair):
    if len(tokens) < 2:
        return tuple(tokens)
    if tokens[0] == pair[0] and tokens[1] == pair[1]:
        return (pair[0] + pair[1], *merge_by_recursion(tokens[2:], pair))
    return (tokens[0], *merge_by_recursion(tokens[1:], pair))


def merge_by_generator(tokens, pair):
    rest = deque(tokens)
    while rest:
        token = rest.popleft()
        if rest and (token, rest[0]) == (pair[0], pair[1]):
            token += rest.popleft()
        yield token


def merge_by_letters(tokens, pair):
    """Each token as one character, then a regular expression."""
    code = {token: chr(0x100 + i) for i, token in enumerate(dict.fromkeys([*tokens, *pair]))}
    name = {letter: token for token, letter in code.items()}
    text = re.sub(code[pair[0]] + code[pair[1]], "\n", "".join(code[token] for token in tokens))
    return [name.get(letter, pair[0] + pair[1]) for letter in text]


def looks_behind_the_end(tokens, pair):
    out, i = [], 0
    while i < len(tokens):
        found = tokens[i] == pair[0] and tokens[i + 1] == pair[1]
        out.append(pair[0] + pair[1] if found else tokens[i])
        i += 2 if found else 1
    return out


def must_be_there(tokens, pair):
    if len(tokens) > 1 and pair not in pairwise(tokens):
        raise ValueError("no such pair")
    return merge_by_stack(tokens, pair)


def from_the_first_token(tokens, pair):
    out = [tokens[0]]
    for token in tokens[1:]:
        if (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out


def merge_slices(tokens, pair):
    """Compares a list with a tuple."""
    tokens = list(tokens)
    i = 0
    while i < len(tokens) - 1:
        if tokens[i : i + 2] == pair:
            tokens[i : i + 2] = [pair[0] + pair[1]]
        i += 1
    return tokens


RIGHT = [
    merge_by_stack,
    merge_by_recursion,
    merge_by_generator,
    merge_by_letters,
    lambda tokens, pair: np.array(merge_by_stack(tokens, pair), dtype=object),
]
WRONG = [
    ("nothing merged", merge_slices),
    ("the token after the last one", looks_behind_the_end),
    ("an error where there is no place", must_be_there),
    ("the first token taken for granted", from_the_first_token),
]
