"""Answers to sampler_at_work, as learners write them."""

import numpy as np
import torch

from course_lib.concepts.c07_mlm_vs_next_token.answers.cached_step import (
    by_our_library,
    by_torch,
    old_and_new_apart,
    one_by_one,
    stored_then_attended,
)
from course_lib.concepts.c07_mlm_vs_next_token.answers.temperature import (
    by_hand,
    by_numpy,
    row_by_row,
    shifted,
)
from course_lib.concepts.c07_mlm_vs_next_token.answers.top_p import (
    by_lowest,
    from_below,
    sorted_and_scattered,
    token_by_token,
)
from course_lib.generation import next_token_probabilities


def probabilities(scores, t, p):
    return sorted_and_scattered(shifted(scores, t), p)


def writing(choose=probabilities, attend=stored_then_attended):
    """Right but for what it is given."""

    def answer(read, draw, ids, n_new, t, p):
        new, stored, written = ids, None, []
        for _ in range(n_new):
            scores, stored = read(new, stored, attend)
            new = [draw(choose(scores, t, p))]
            written += new
        return written

    return answer


plainly = writing()


def prompt_first(read, draw, ids, n_new, t, p):
    """The prompt before the loop, and in the end a token is read that nobody needs."""
    scores, stored = read(torch.tensor(ids), None, by_torch)
    tokens = torch.zeros(n_new, dtype=torch.long)
    for i in range(n_new):
        tokens[i] = draw(from_below(by_hand(scores, t), p))
        scores, stored = read(tokens[i : i + 1], stored, by_torch)
    return tokens


def prompt_token_by_token(read, draw, ids, n_new, t, p):
    stored = None
    for token in ids:
        scores, stored = read([token], stored, old_and_new_apart)
    written = [draw(token_by_token(row_by_row(scores, t), p))]
    while len(written) < n_new:
        scores, stored = read(written[-1:], stored, old_and_new_apart)
        written += [draw(token_by_token(row_by_row(scores, t), p))]
    return np.array(written)


def by_the_library(read, draw, ids, n_new, t, p):
    def tokens():
        unread, stored = list(ids), None
        for _ in range(n_new):
            scores, stored = read(unread, stored, by_our_library)
            unread = [draw(next_token_probabilities(scores, temperature=t, top_p=p).tolist())]
            yield unread[0]

    return tuple(tokens())


def recursively(read, draw, ids, n_new, t, p, stored=None):
    if n_new == 0:
        return []
    scores, stored = read(ids, stored, one_by_one)
    token = draw(by_lowest(by_numpy(scores, t), p))
    return [token, *recursively(read, draw, [token], n_new - 1, t, p, stored)]


def one_short(read, draw, ids, n_new, t, p):
    return plainly(read, draw, ids, n_new - 1, t, p)


def drawn_by_itself(read, draw, ids, n_new, t, p):
    def own(chances):
        return int(torch.multinomial(chances, 1))

    return plainly(read, own, ids, n_new, t, p)


def drawn_twice(read, draw, ids, n_new, t, p):
    def second(chances):
        draw(chances)
        return draw(chances)

    return plainly(read, second, ids, n_new, t, p)


RIGHT = [plainly, prompt_first, prompt_token_by_token, by_the_library, recursively]
WRONG = [
    (
        "a temperature of 0",
        writing(choose=lambda scores, t, p: sorted_and_scattered((scores / t).softmax(-1), p)),
    ),
    (None, writing(attend=lambda *given: stored_then_attended(*given)[0])),
    (None, writing(choose=lambda scores, t, p: scores)),
    (None, one_short),
    (None, drawn_twice),
    (None, lambda read, draw, ids, n_new, t, p: [draw([1.0] * 17) for _ in range(n_new)]),
]
