"""The longest chain

However many cores there are, a computation cannot be done sooner than its longest chain, in which each
operation waits for the one before. `waits_for` is a dictionary: for each operation, a name, the list of
those whose results it needs; the list is empty for an input. All operations are keys, in any order: an
operation may stand before those that it waits for, and the last of all anywhere. Some wait twice for the
same, as x * x does. Return the number of operations on the longest chain; an operation that waits for
nothing counts 1. No operation waits for itself, directly or not. Plain Python is all that you need. But the
chain can be 2,000 operations long, and there can be more paths than anybody can walk, 2^41 in one graph.

Hint: The chain of an operation is 1 and the longest chain of those that it waits for. So once you know
these, you know it, and need not walk any path again. In which order can you go through the operations?

Hint: Count for each operation how many it still waits for. Those that wait for nothing come first. When one
is done, each that waits for it waits for one fewer.

Hint: Keep `length`, a dictionary. From a list `ready` of those that wait for nothing, take one, set
`length[name] = 1 + max((length[other] for other in waits_for[name]), default=0)`, and put into `ready` each
that now waits for nothing more. Return the largest length.
"""

import functools
import graphlib

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=2,
    minutes=15,
    section="Then why drop the RNN?",
)


@exercise.solution
def longest_chain(waits_for):
    """The number of operations on the longest chain, in which each waits for the one before.

    Args:
        waits_for: for each operation, a name, the list of those whose results it needs; empty for an input.
    """
    ### BEGIN SOLUTION
    missing, after = {}, {name: [] for name in waits_for}
    for name, others in waits_for.items():
        missing[name] = len(others)
        for other in others:
            after[other].append(name)
    ready = [name for name in waits_for if not waits_for[name]]
    length = {}
    while ready:
        name = ready.pop()
        length[name] = 1 + max((length[other] for other in waits_for[name]), default=0)
        for later in after[name]:
            missing[later] -= 1
            if missing[later] == 0:
                ready.append(later)
    return max(length.values())
    ### END SOLUTION


def in_a_row(names):
    """Each waits for the one before it."""
    return {name: names[max(i - 1, 0) : i] for i, name in enumerate(names)}


def recurrent(n_tokens):
    graph = {}
    for t in range(n_tokens):
        graph |= {
            f"x{t}": [],
            f"sum{t}": [f"x{t}", f"h{t - 1}"] if t else [f"x{t}"],
            f"h{t}": [f"sum{t}"],
        }
    return graph


def ladder(n_rungs):
    """Two to a rung, each of which waits for both of the rung before: 2 ** n_rungs paths."""
    graph = {}
    for rung in range(n_rungs):
        before = [f"left{rung - 1}", f"right{rung - 1}"] if rung else []
        graph |= {f"left{rung}": before, f"right{rung}": before}
    return graph


def lengths(waits_for):
    """How long the chain of each operation is."""
    found = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        found[name] = 1 + max((found[other] for other in waits_for[name]), default=0)
    return found


def shuffled(rng, waits_for):
    """The same graph in another order: first and last stand, where that is possible, inside a chain."""
    length = lengths(waits_for)
    longest = max(length.values())
    best, found, names = -1, list(waits_for), list(waits_for)
    for _ in range(30):
        order = [names[i] for i in rng.permutation(len(names))]
        ends = length[order[0]], length[order[-1]]
        # An end of a longest chain would hide a mistake, an input may look like another one.
        inside = 4 * sum(n < longest for n in ends) + sum(n > 1 for n in ends) + (ends[0] > 1)
        if inside > best:
            best, found = inside, order
        if inside == 11:
            break
    return {name: list(waits_for[name]) for name in found}


@exercise.cases
def _(rng):
    def case(name, graph, catches=""):
        return Case(name, {"waits_for": shuffled(rng, graph)}, catches=catches)

    square = {
        "x": [],
        "square": ["x", "x"],
        "sum": ["square", "x"],
        "twice": ["sum", "sum"],
        "end": ["twice"],
    }
    apart = {"a": [], **in_a_row([f"b{i}" for i in range(5)]), **in_a_row([f"c{i}" for i in range(3)])}
    while True:  # the end that comes first, or last, is not that of the longest chain
        apart = shuffled(rng, apart)
        if [name for name in apart if name in ("a", "b4", "c2")][1] == "b4":
            break
    return [
        case("three in a row", in_a_row([chr(ord("a") + i) for i in rng.permutation(26)[:3]])),
        case("one operation", {"x": []}, catches="the largest of no chains"),
        case("waits twice for the same", square, catches="counted twice, crossed off once"),
        Case(
            "three graphs that know nothing of each other",
            {"waits_for": apart},
            catches="one end alone",
        ),
        case("a recurrent network", recurrent(between(rng, 5, 9)), catches="the first of each list"),
        case("many paths", ladder(between(rng, 41, 60)), catches="every path walked"),
        case("2,000 in a row", in_a_row([f"op{i}" for i in range(2000)]), catches="too deep for Python"),
    ]


# ------------------------------------------------------------------------------------- another chain, or none

exercise.changed(
    "the shortest chain",
    "This follows the nearest of those that an operation waits for: it has to wait for the last one, so "
    "take the longest.",
    ("max((", "min(("),
)
exercise.changed(
    "the smallest of all",
    "The smallest of all lengths came back, which is that of an input, 1: the largest is asked for.",
    ("max(length.values())", "min(length.values())"),
)
exercise.changed(
    "links counted",
    "The links between operations were counted: a chain of three operations has two links, and counts 3.",
    ("max(length.values())", "max(length.values()) - 1"),
)


exercise.changed(
    "the first of each list",
    "Only the first of those that an operation waits for was followed: it waits for all of them, so the "
    "longest counts.",
    ("for other in waits_for[name]), default", "for other in waits_for[name][:1]), default"),
)
exercise.changed(
    "the last of each list",
    "Only the last of those that an operation waits for was followed: it waits for all of them, so the "
    "longest counts.",
    ("for other in waits_for[name]), default", "for other in waits_for[name][-1:]), default"),
)


@exercise.mistake("all operations")
def _(waits_for):
    """All operations were counted: those that do not wait for each other can be done at the same time."""
    return len(waits_for)


@exercise.mistake("all that come before")
def _(waits_for):
    """All operations that the last one waits for were counted, directly or not: those that do not wait for
    each other can be done at the same time.
    """
    before = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        before[name] = {name}
        for other in waits_for[name]:
            before[name] |= before[other]
    return max(len(names) for names in before.values())


exercise.changed(
    "added up",
    "The chains of all that an operation waits for were added up: they run at the same time, so the longest "
    "counts.",
    (
        "max((length[other] for other in waits_for[name]), default=0)",
        "sum(length[other] for other in waits_for[name])",
    ),
)
exercise.changed(
    "the first operation",
    "This is the chain of the operation that stands first in the dictionary: the longest may end anywhere.",
    ("max(length.values())", "length[list(waits_for)[0]]"),
)
exercise.changed(
    "the last operation",
    "This is the chain of the operation that stands last in the dictionary: the longest may end anywhere.",
    ("max(length.values())", "length[list(waits_for)[-1]]"),
)


@exercise.mistake("in the order of the dictionary")
def _(waits_for):
    """The operations were taken in the order of the dictionary, so some before those that they wait for: take
    an operation only when all that it waits for are done.
    """
    length = {}
    for name, others in waits_for.items():
        length[name] = 1 + max((length.get(other, 0) for other in others), default=0)
    return max(length.values())


@exercise.mistake("the longest list")
def _(waits_for):
    """This is how many one operation waits for at most: count how many come one after the other."""
    return max(len(others) for others in waits_for.values())


@exercise.mistake("the longest list, and itself")
def _(waits_for):
    """This is how many one operation waits for at most, and itself: count how many come one after
    the other.
    """
    return 1 + max(len(others) for others in waits_for.values())


@exercise.mistake("the number of inputs")
def _(waits_for):
    """This is how many operations wait for nothing: count how many come one after the other."""
    return sum(not others for others in waits_for.values())


@exercise.mistake("too deep for Python")
def _(waits_for):
    """Right for short chains. But a function that calls itself once for each operation is stopped by Python
    after about 1,000 calls: go through the operations in an order in which all that they need is done.
    """

    @functools.cache
    def length(name):
        return 1 + max((length(other) for other in waits_for[name]), default=0)

    return max(length(name) for name in waits_for)
