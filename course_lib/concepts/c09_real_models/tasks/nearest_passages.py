"""The nearest passages

Search by meaning is a question's vector against those of many passages. `query` (D) is the one, `passages`
(N, D) are the others, of any length. A passage's score is its cosine with the query, (p · q) / (|p| |q|),
where |p| is the root of the sum of the squares. A vector of zeros has no direction: its score is 0, whether
it is a passage or the query. Return the places of the `k` passages with the highest scores, the best first,
as a list or a tensor of whole numbers; where `k` is more than N, all places. Of passages that tie the one
in the smaller place comes first. Then your function searches with MiniLM in what Python says of its own
functions.

Hint: `passages @ query` gives N dot products at once. What is left to divide by, and where would that be 0?

Hint: `torch.where(sizes > 0, dots / sizes, 0.0)` chooses 0 where it divided by 0. Dividing by the query's
own length changes no order, so it may be left out.

Hint: `scores.sort(descending=True, stable=True).indices` are all places, the best first; stable means that
those that tie stay in their order, which `topk` does not promise. Then cut off the first k.
"""

import builtins
import functools
import inspect
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import torch

from course_lib import pretrained
from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm, numbers_of

NEAR = 1e-5  # of the largest score: no two are nearer than that, unless they tie in every way of writing
QUESTIONS = ("How do I throw away spaces at the beginning?", "Which function finds the biggest number?")
BATCH, BEST = 16, 3


def cosines(query, passages):
    """Dot products of directions alone; 0 for a vector of zeros, which has none."""
    sizes = passages.norm(dim=-1) * query.norm()
    return torch.where(sizes > 0, passages @ query / sizes, 0.0)


def ranks_by_score(result, inputs):
    """Which place is named too early, too late, twice or not at all."""
    scores = cosines(inputs["query"].double(), inputs["passages"].double()).tolist()
    named = [int(place) for place in result]
    strange = [place for place in named if place not in range(len(scores))]
    if strange:
        return f"There is no place {strange[0]}: the passages have places 0 to {len(scores) - 1}."
    twice = [place for place, n in Counter(named).items() if n > 1]
    if twice:
        return f"Place {twice[0]} is named twice."
    for before, after in pairwise(named):
        if scores[after] > scores[before]:
            return (
                f"Place {after} scores {scores[after]:.4f} and stands behind place {before}, which scores "
                f"{scores[before]:.4f}."
            )
        if scores[after] == scores[before] and after < before:
            equal = f"Places {after} and {before} tie at {scores[after]:.4f}"
            return f"{equal}: the smaller one stands first, as a stable sort leaves it."
    left = max(set(range(len(scores))) - set(named), key=lambda place: scores[place], default=None)
    if left is not None and scores[left] > scores[named[-1]]:
        return f"Place {left} scores {scores[left]:.4f}, more than place {named[-1]}, but is not named."
    return ""


exercise = Exercise(
    level=2,
    minutes=15,
    section="Search by meaning",
    properties=(Property("ranks by score", ranks_by_score),),
)


@exercise.solution
def nearest_passages(query, passages, k):
    """The places of the passages that point most nearly where the query points.

    Args:
        query: (D), passages: (N, D).
        k: how many places; all, where there are fewer.
    Returns: the places, the best first.
    """
    ### BEGIN SOLUTION
    sizes = passages.norm(dim=-1) * query.norm()
    scores = torch.where(sizes > 0, passages @ query / sizes, 0.0)
    return scores.sort(descending=True, stable=True).indices[:k]
    ### END SOLUTION


def measures(query, passages):
    """The scores by which an answer may rank, right or wrong."""
    dots, sizes, columns = passages @ query, passages.norm(dim=-1), passages.norm(dim=0)
    right = cosines(query, passages)
    return [
        right,
        right.abs(),
        dots,
        dots * sizes,
        -(passages - query).norm(dim=-1),
        torch.where(sizes > 0, dots / sizes**2, 0.0),
        torch.where(sizes > 0, dots / passages.abs().sum(-1), 0.0),
        passages / torch.where(columns > 0, columns, 1.0) @ query,
    ]


def apart(query, passages):
    """Whether rounding cannot change an order, by whichever measure."""
    for scores in measures(*(torch.from_numpy(x).double() for x in (query, passages))):
        gaps = scores.sort().values.diff()
        if ((gaps != 0) & (gaps < NEAR * scores.abs().max())).any():
            return False
    return True


def tie(query, passages):
    """Whether two lie on one line: rounding breaks their tie in one way of writing and not in another."""
    scores = cosines(*(torch.from_numpy(x).double() for x in (query, passages))).abs()
    return bool((scores.sort().values.diff() < NEAR).any())


def question_and_passages(rng, n, d, k, change=None):
    """Vectors of different lengths, none of zeros; `change` may write into them."""
    while True:
        query = draw(rng, d)
        sizes = rng.choice([0.2, 0.5, 1.0, 3.0, 7.0], (n, 1))
        passages = (sizes * rng.standard_normal((n, d))).round(2).astype(np.float32) + np.float32(0)
        # Were all numbers of the query alike, passages in one quadrant would tie by the sum of their sizes.
        fit = (query != 0).all() and np.ptp(np.abs(query)) > 0 and passages.any(-1).all()
        if fit and not tie(query, passages):
            if change:
                change(query, passages)
            some_point_away = (passages @ query < 0).any()  # so that zeros are not the lowest
            if some_point_away and apart(query, passages):
                return {"query": query, "passages": passages, "k": k}


@exercise.cases
def _(rng):
    def emptied(query, passages):
        """Two of zeros in front of two that are nearer: one points where the question does, one is 76
        degrees off.

        Distances of directions put zeros, whose score is 0, as if they were 60 degrees off.
        """
        passages[rng.choice(len(passages) - 2, 2, replace=False)] = 0
        across = passages[-2] - passages[-2] @ query / (query @ query) * query
        passages[-2] = query / 4 + across * np.sqrt(query @ query / (across @ across))
        passages[-1] = 2 * query

    def tied(query, passages):
        """On an axis they tie exactly, however it is computed: their lengths are powers of two."""
        axes = rng.integers(len(query), size=len(passages))
        passages[:] = 2.0 ** rng.integers(-2, 3, (len(passages), 1)) * np.eye(len(query))[axes]

    inputs = functools.partial(question_and_passages, rng)
    nothing = inputs(5, 3, 3)
    nothing["query"] = np.zeros_like(nothing["query"])
    return in_torch(
        [
            Case("the best of three", inputs(3, 2, 1)),
            Case("k is more than there are", inputs(5, 2, 7), catches="k places looked up"),
            Case("as many passages as numbers", inputs(5, 5, 3), catches="lengths of the columns"),
            Case("two passages of zeros", inputs(11, 3, 11, emptied), catches="the last zeros first"),
            Case("a question of zeros", nothing, catches="no places for zeros"),
            Case("many passages that tie", inputs(61, 3, 53, tied), catches="an unstable sort"),
            Case("many passages, many numbers", inputs(53, 19, 47), catches="scores rounded"),
        ]
    )


# ----------------------------------------------------------------------------------- search in the real model


@functools.cache
def descriptions():
    """What Python says of its built-in functions, and of the methods of its everyday types."""
    owners = [(f"{kind.__name__}.", kind) for kind in (str, list, dict, set, float)]
    found = {}
    for prefix, owner in [*owners, ("", builtins)]:
        for name, value in vars(owner).items():
            if not name.startswith("_") and callable(value) and not isinstance(value, type):
                # The first paragraph in words: some begin with a line such as "max(iterable) -> value".
                paragraphs = (" ".join(part.split()) for part in (inspect.getdoc(value) or "").split("\n\n"))
                prose = next((part for part in paragraphs if part and "->" not in part), "")
                if len(prose.split()) > 3:
                    found[prefix + name] = prose
    return found


def words_shared(question, passages):
    """A score for each passage: its words that the question has too, rare ones counting more."""
    bags = [set(re.findall(r"[a-z]+", passage.lower())) for passage in passages]
    often = Counter(word for bag in bags for word in bag)
    asked = set(re.findall(r"[a-z]+", question.lower()))
    return [sum(np.log(len(bags) / often[word]) for word in bag & asked) / len(bag) ** 0.5 for bag in bags]


@functools.lru_cache(maxsize=4)
def embedded(model, tokenizer, texts):
    """A vector for each text; kept, because a check may run again and again."""
    batches = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
    return torch.cat([pretrained.sentence_embedding(model, tokenizer, batch) for batch in batches]).cpu()


@exercise.finale
@real_model.with_minilm("find what Python's documentation says")
def searches_with_minilm(learner, model, tokenizer):
    """Let the learner's function search in descriptions by MiniLM, beside a search by words.

    Raises: WrongForm: there are better places than those that it names.
    """
    names, passages = list(descriptions()), list(descriptions().values())
    yield f"MiniLM reads {len(passages)} descriptions of Python's functions.\n"
    table = embedded(model, tokenizer, tuple(passages))
    for question in QUESTIONS:
        query = embedded(model, tokenizer, (question,))[0]
        places = [int(place) for place in numbers_of(learner(query.clone(), table.clone(), BEST), False)]
        scores = cosines(query.double(), table.double())
        found, best = scores[places].tolist(), scores.topk(BEST).values.tolist()
        if not np.allclose(found, best, rtol=0, atol=1e-4):
            raise WrongForm(
                f"Among {len(passages)} real vectors of {table.shape[1]} numbers your function names places "
                f"with the scores {told(found)}, but the best are {told(best)}."
            )
        by_words = np.argsort(-np.array(words_shared(question, passages)), kind="stable")[:BEST]
        yield f"\n{question}\nby meaning, with your function:\n"
        for place, cosine in zip(places, found, strict=True):
            yield f"  {cosine:.2f}  {names[place]}: {shortened(passages[place])}\n"
        yield f"by shared words: {', '.join(names[place] for place in by_words)}\n"


def told(scores):
    """Some scores in words."""
    return ", ".join(f"{score:.3f}" for score in scores)


def shortened(text, limit=70):
    """The beginning of a long text."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


# ----------------------------------------------------------------------------------- how nearness is measured

exercise.changed(
    "dot products",
    "These are the places with the largest dot products, so that long vectors win: divide each by the "
    "passage's length.",
    ("torch.where(sizes > 0, passages @ query / sizes, 0.0)", "passages @ query"),
)
exercise.changed(
    "distances",
    "These are the nearest points: a passage in the same direction may be far away, because it is long. "
    "Compare directions, by the cosine.",
    ("torch.where(sizes > 0, passages @ query / sizes, 0.0)", "-(passages - query).norm(dim=-1)"),
)
exercise.changed(
    "divided by the square",
    "The dot products are divided by the sum of the squares: the length is the root of it.",
    ("passages.norm(dim=-1) * query.norm()", "(passages**2).sum(-1)"),
)
exercise.changed(
    "multiplied by the length",
    "The dot products are multiplied by the length of the passage: divide.",
    ("torch.where(sizes > 0, passages @ query / sizes, 0.0)", "passages @ query * sizes"),
)
exercise.changed(
    "divided by the sum of the sizes",
    "The dot products are divided by the sum of all sizes |x|: a length is the root of the sum of the "
    "squares.",
    ("passages.norm(dim=-1) * query.norm()", "passages.abs().sum(-1)"),
)
exercise.changed(
    "columns of length 1",
    "The columns of the table were scaled to length 1: a passage is a row, so the length runs over its D "
    "numbers, the last axis.",
    (
        "torch.where(sizes > 0, passages @ query / sizes, 0.0)",
        "torch.nn.functional.normalize(passages, dim=0) @ query",
    ),
)
exercise.changed(
    "lengths of the columns",
    "The dot products are divided by the lengths of the columns, which runs only where N is D: a passage is "
    "a row, so its length runs over the last axis.",
    ("passages.norm(dim=-1)", "passages.norm(dim=0)"),
)
exercise.changed(
    "either way",
    "A passage that points the other way was taken for near: -1 is the lowest cosine, so do not drop the "
    "sign.",
    ("passages @ query / sizes", "(passages @ query / sizes).abs()"),
)
exercise.changed(
    "zeros last",
    "A passage of zeros came last: its score is 0, so it comes before all that point away.",
    ("/ sizes, 0.0)", "/ sizes, -torch.inf)"),
)
exercise.changed(
    "zero over zero",
    "A vector of zeros divides 0 by 0, and NaN is sorted above all numbers, so it comes first: its score is "
    "0.",
    ("torch.where(sizes > 0, passages @ query / sizes, 0.0)", "passages @ query / sizes"),
)

# ------------------------------------------------------------------------------- which places, in which order

exercise.changed(
    "the worst first",
    "These are the lowest scores, the lowest first: a high cosine is near. Sort with `descending=True`.",
    ("descending=True, ", ""),
)
exercise.changed(
    "the best last",
    "The right places, but the best comes last: the best first.",
    ("indices[:k]", "indices[:k].flip(0)"),
)
exercise.changed(
    "in the order of places",
    "The right places, but in the order in which they stand in the table: the best first.",
    ("indices[:k]", "indices[:k].sort().values"),
)
exercise.changed(
    "ties the other way round",
    "Right, but where passages tie the one in the larger place comes first. An ascending order that is read "
    "backwards does that: sort with `descending=True, stable=True`.",
    ("descending=True, stable=True).indices", "stable=True).indices.flip(0)"),
)
exercise.changed(
    "the best left out",
    "The best place was left out, as if it were the question itself: here the question is not one of the "
    "passages.",
    ("[:k]", "[1 : k + 1]"),
)
exercise.changed(
    "counted from 1",
    "The places were counted from 1: they are counted from 0.",
    ("indices[:k]", "indices[:k] + 1"),
)
exercise.changed("all places", "All places were returned: the first k of them are asked for.", ("[:k]", ""))
exercise.changed(
    "the best alone",
    "Only the best place was returned, as one number: k of them are asked for, in a list or a tensor.",
    ("[:k]", "[0]"),
)
exercise.changed(
    "scores",
    "These are the scores: the places are asked for, `.indices` in place of `.values`.",
    ("indices[:k]", "values[:k]"),
)
