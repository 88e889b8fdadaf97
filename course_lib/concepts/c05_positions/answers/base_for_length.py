"""Answers to base_for_length, as learners write them."""

import math

import numpy as np
import torch


def of_all_slow_hands(length, trained, base, d_head):
    """Each slow hand's own base; the largest, and never less than the old one."""
    bases = [base]
    for i in range(1, d_head // 2):
        if trained / base ** (2 * i / d_head) < 2 * math.pi:
            bases.append(base * (length / trained) ** (d_head / (2 * i)))
    return max(bases)


def in_numpy(length, trained, base, d_head):
    exponents = np.arange(2, d_head, 2) / d_head
    slow = trained * base**-exponents < 2 * np.pi
    wanted = base * max(1, length / trained) ** (1 / exponents)
    return float(max(wanted[slow], default=base))


def by_a_logarithm(length, trained, base, d_head):
    """Hand i is slow if base^(2i/K) is more than the rounds of hand 0."""
    if length <= trained:
        return base
    first = math.floor(d_head / 2 * math.log(trained / (2 * math.pi)) / math.log(base)) + 1
    if first >= d_head // 2:
        return base
    return base * math.exp(d_head / (2 * first) * math.log(length / trained))


def in_torch(length, trained, base, d_head):
    exponents = torch.arange(d_head // 2, dtype=torch.float64) * 2 / d_head
    angles = trained / base**exponents
    slow = (angles < 2 * torch.pi) & (exponents > 0)
    if not slow.any():
        return torch.tensor(float(base), dtype=torch.float64)
    return (length / angles[slow]).pow(1 / exponents[slow]).clamp(min=base).max()


def by_halving(length, trained, base, d_head):
    """Tries bases until the smallest that will do lies between two that are the same."""
    slow = [i for i in range(1, d_head // 2) if trained / base ** (2 * i / d_head) < 2 * math.pi]

    def will_do(new):
        return all(length / new ** (2 * i / d_head) <= trained / base ** (2 * i / d_head) for i in slow)

    if will_do(base):
        return base
    low, high = base, 2 * base
    while not will_do(high):
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if will_do(middle) else (middle, high)
    return high


def of_the_slowest(length, trained, base, d_head):
    """As some programs have it: from the slowest hand."""
    if length <= trained or trained / base ** ((d_head - 2) / d_head) >= 2 * math.pi:
        return base
    return base * (length / trained) ** (d_head / (d_head - 2))


def without_a_way_out(length, trained, base, d_head):
    """Fails where no hand is slow."""
    slow = [i for i in range(1, d_head // 2) if trained / base ** (2 * i / d_head) < 2 * math.pi]
    return base * max(1, length / trained) ** (d_head / (2 * slow[0]))


def of_sixteen_hands(length, trained, base, d_head):
    """Knows no more hands than that."""
    for i in range(1, min(d_head // 2, 17)):
        if trained / base ** (2 * i / d_head) < 2 * math.pi and length > trained:
            return base * (length / trained) ** (d_head / (2 * i))
    return base


def of_the_second(length, trained, base, d_head):
    """The slow hands, but for the last, which is thought to stand still."""
    for i in range(1, d_head // 2 - 1):
        if trained / base ** (2 * i / d_head) < 2 * math.pi and length > trained:
            return base * (length / trained) ** (d_head / (2 * i))
    return base


RIGHT = [of_all_slow_hands, in_numpy, by_a_logarithm, in_torch, by_halving]
WRONG = [
    ("the slowest hand alone", of_the_slowest),
    ("no slow hand", without_a_way_out),
    ("sixteen hands", of_sixteen_hands),
    ("two slow hands at least", of_the_second),
    (None, lambda length, trained, base, d_head: 1 / of_all_slow_hands(length, trained, base, d_head)),
    (None, lambda length, trained, base, d_head: str(of_all_slow_hands(length, trained, base, d_head))),
]
