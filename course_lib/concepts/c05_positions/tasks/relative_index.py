"""A row for each distance

A model can learn something for each distance, in a table with 2m + 1 rows, m being `max_distance`. The
first row is for keys m places before the query or more, the middle row for the query's own place, the last
row for keys m places after it or more. Which row does each pair need? Return (T, S) whole numbers: the
distance s - t, cut off at -m and at m, plus m. There may be fewer queries than keys, and the last query
stands where the last key does. (Shaw et al. 2018, section 3.2.)

Hint: Three queries, three keys, m = 1: the first query has the rows 1, 2, 2, because its own place has row
m = 1.

Hint: `torch.arange(S) - (torch.arange(T) + S - T)[:, None]` are the distances s - t, (T, S).

Hint: `.clamp(-m, m)` cuts off on both sides. Then add m, so that the smallest number is 0.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, numbers_of

exercise = Exercise(level=2, minutes=8, section="Into the scores", outside=True)


@exercise.solution
def relative_index(n_queries, n_keys, max_distance):
    """The row of a table of distances that each query and key need.

    Args:
        n_queries: T, the newest tokens: the last one stands where the last key does.
        n_keys: S, at least T.
        max_distance: m; the table has 2m + 1 rows, for the distances -m to m.
    Returns: (T, S), whole numbers from 0 to 2m.
    """
    ### BEGIN SOLUTION
    queries = torch.arange(n_queries) + n_keys - n_queries
    distances = torch.arange(n_keys) - queries[:, None]
    return distances.clamp(-max_distance, max_distance) + max_distance
    ### END SOLUTION


@exercise.adapt
def whole_numbers(learner):
    """The learner's function, which must give whole numbers. Raises: WrongForm (when called): others."""

    def checked(*sizes):
        numbers = numbers_of(learner(*sizes), tensor=False)
        if numbers.dtype.kind not in "iu":
            raise WrongForm(f"An index is a whole number, but these are {numbers.dtype}.")
        return numbers

    return checked


@exercise.cases
def _(rng):
    def inputs(n_queries, n_keys, max_distance):
        return {"n_queries": n_queries, "n_keys": n_keys, "max_distance": max_distance}

    t, s = primes(rng, 3, 5)[0], between(rng, 7, 60)
    same, few = between(rng, 5, 7), between(rng, 3, 7)
    return [
        Case("two queries, two keys", inputs(2, 2, 1)),
        Case("fewer queries than keys", inputs(t, s, 2), catches="the first query at the first key"),
        Case("as many queries as keys", inputs(same, same, between(rng, 2, 3)), catches="cut off below only"),
        Case(
            "one query, as when a model writes on",
            inputs(1, between(rng, 9, 60), 3),
            catches="an axis of one lost",
        ),
        Case(
            "no key is far",
            inputs(few, few, between(rng, 9, 40)),
            catches="distances up to the last key only",
        ),
    ]


exercise.changed(
    "the first query at the first key",
    "The queries were counted from the first key: they are the newest tokens, so the last query stands "
    "where the last key does.",
    ("torch.arange(n_queries) + n_keys - n_queries", "torch.arange(n_queries)"),
)
exercise.changed(
    "all queries at the last key",
    "Every query was put where the last key is: that is the place of the last one, the query before it "
    "stands one place before.",
    ("torch.arange(n_queries) + n_keys - n_queries", "torch.full((n_queries,), n_keys - 1)"),
)
exercise.changed(
    "queries one place too late",
    "The queries stand one place too far right: the last one stands where the last key does, at n_keys - 1.",
    ("+ n_keys - n_queries", "+ n_keys - n_queries + 1"),
)
exercise.changed(
    "query minus key",
    "This is t - s: a key before the query needs a row before the middle one, so it is s - t.",
    ("torch.arange(n_keys) - queries[:, None]", "queries[:, None] - torch.arange(n_keys)"),
)
exercise.changed(
    "before and after alike",
    "Keys before and after the query have the same rows: keep the sign of the distance.",
    ("distances.clamp", "distances.abs().clamp"),
)
exercise.changed(
    "not cut off",
    "Far keys have rows that the table does not have: cut the distance off at -m and at m.",
    ("distances.clamp(-max_distance, max_distance)", "distances"),
)
exercise.changed(
    "no shift",
    "The smallest number is -m: add m, so that the rows are counted from 0.",
    (") + max_distance", ")"),
)
exercise.changed(
    "rows counted from 1",
    "The rows are counted from 1: the first is row 0.",
    (") + max_distance", ") + max_distance + 1"),
)
exercise.changed(
    "cut off after the shift",
    "m was added before the distance was cut off at -m and m: first cut off, then add.",
    (
        "distances.clamp(-max_distance, max_distance) + max_distance",
        "(distances + max_distance).clamp(-max_distance, max_distance)",
    ),
)
exercise.changed(
    "far keys begin anew",
    "Far keys begin anew at the other end of the table, as `%` does: they share the first or the last row.",
    (
        "distances.clamp(-max_distance, max_distance) + max_distance",
        "(distances + max_distance) % (2 * max_distance + 1)",
    ),
)
exercise.changed(
    "cut off above only",
    "Only keys far after the query are cut off: those far before it need it too, at -m.",
    ("clamp(-max_distance, max_distance)", "clamp(max=max_distance)"),
)
exercise.changed(
    "cut off below only",
    "Only keys far before the query are cut off: those far after it need it too, at m.",
    ("clamp(-max_distance, max_distance)", "clamp(min=-max_distance)"),
)
exercise.changed(
    "keys before the query have no rows",
    "All keys before the query share the middle row: the distance is cut off at -m, not at 0.",
    ("clamp(-max_distance, max_distance)", "clamp(0, max_distance)"),
)
exercise.changed(
    "keys after the query have no rows",
    "All keys after the query share the middle row: the distance is cut off at m, not at 0.",
    ("clamp(-max_distance, max_distance)", "clamp(-max_distance, 0)"),
)
exercise.changed(
    "one row too few",
    "The distance is cut off one too early, at m - 1: it is m.",
    ("clamp(-max_distance, max_distance)", "clamp(1 - max_distance, max_distance - 1)"),
)
exercise.changed(
    "the place of the key",
    "This is the place of the key, not its distance from the query: subtract the place of the query.",
    ("torch.arange(n_keys) - queries[:, None]", "torch.arange(n_keys).expand(n_queries, -1)"),
)


@exercise.mistake("queries and keys exchanged")
def _(n_queries, n_keys, max_distance):
    """Queries and keys are exchanged: the result is (T, S), a row for each query."""
    return relative_index(n_queries, n_keys, max_distance).mT
