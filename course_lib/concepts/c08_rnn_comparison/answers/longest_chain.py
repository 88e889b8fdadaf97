"""Answers to longest_chain, as learners write them."""

import graphlib


def with_a_stack(waits_for):
    """As if it called itself."""
    length = {}
    for start in waits_for:
        stack = [start]
        while stack:
            unknown = [other for other in waits_for[stack[-1]] if other not in length]
            if unknown:
                stack.extend(unknown)
            else:
                name = stack.pop()
                length[name] = 1 + max((length[other] for other in waits_for[name]), default=0)
    return max(length.values())


def in_waves(waits_for):
    """As if there were a core for each operation: how often does one have to wait?"""
    missing = {name: set(others) for name, others in waits_for.items()}
    after = {name: set() for name in waits_for}
    for name, others in missing.items():
        for other in others:
            after[other].add(name)
    wave, n_waves = [name for name in missing if not missing[name]], 0
    while wave:
        n_waves += 1
        coming = set()
        for name in wave:
            for later in after[name]:
                missing[later].discard(name)
                if not missing[later]:
                    coming.add(later)
        wave = list(coming)
    return n_waves


def from_the_standard_library(waits_for):
    return float(max(lengths(waits_for).values()))


def until_nothing_changes(waits_for):
    length = dict.fromkeys(waits_for, 1)
    changed = True
    while changed:
        changed = False
        for name, others in waits_for.items():
            for other in others:
                if length[other] + 1 > length[name]:
                    length[name] = length[other] + 1
                    changed = True
    return max(length.values())


def lengths(waits_for):
    length = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        length[name] = 1 + max((length[other] for other in waits_for[name]), default=0)
    return length


def crossed_off_once(waits_for):
    """Those that wait for a name are a set; what they wait for is counted with repeats."""
    missing = {name: len(others) for name, others in waits_for.items()}
    length = dict.fromkeys(waits_for, 1)
    ready = [name for name in waits_for if not missing[name]]
    while ready:
        name = ready.pop()
        for later in (other for other in waits_for if name in waits_for[other]):
            length[later] = max(length[later], length[name] + 1)
            missing[later] -= 1
            if not missing[later]:
                ready.append(later)
    return max(length.values())


def along_links(waits_for):
    """Operations without a link are in no chain of it."""
    links = [(before, name) for name, others in waits_for.items() for before in others]
    length = lengths(waits_for)
    return max(length[name] for _, name in links)


def from_the_end(waits_for):
    """The one operation for which no other waits."""
    needed = {other for others in waits_for.values() for other in others}
    end = next(name for name in waits_for if name not in needed)
    return lengths(waits_for)[end]


def every_path(waits_for):
    """Without a memory."""
    needed = {other for others in waits_for.values() for other in others}
    longest, paths = 0, [(name, 1) for name in waits_for if name not in needed]
    while paths:
        name, n = paths.pop()
        longest = max(longest, n)
        paths += [(other, n + 1) for other in waits_for[name]]
    return longest


RIGHT = [with_a_stack, from_the_standard_library, in_waves, until_nothing_changes]
WRONG = [
    ("counted twice, crossed off once", crossed_off_once),
    ("the largest of no chains", along_links),
    ("one end alone", from_the_end),
    ("every path walked", every_path),
    ("the smallest of all", lambda waits_for: min(lengths(waits_for).values())),
    (None, lambda waits_for: 2 * in_waves(waits_for)),
]
