"""Your cache and your sampler in a real model

Write a text, token by token, so that each token passes through the model once. Use your `cached_step`, your
`temperature` and your `top_p`, in this order. `read(new, stored, cached_step)` lets the model read the
tokens `new`, a list, with your function as attention in each layer, and gives two things: the scores (V) of
the token that follows, and the keys and values to hand on as `stored` next time; in the first call `stored`
is None. `draw(probabilities)` draws a token. Start with the prompt `ids`, draw `n_new` tokens at
temperature `t` cut by `p`, and return these as a list. The check lets your function write with a small
model, then with SmolLM2: at temperature 0 the text should be the model's own, and the cache shows what it
saves.

Hint: What has the model not read yet, before the first draw? And what before the second?

Hint: `scores, stored = read(new, stored, cached_step)`, and after each draw `new` is a list of one token.

Hint: `top_p(temperature(scores, t), p)` are the probabilities to draw from.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib import generation, pretrained
from course_lib.attention import with_one_mask
from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm, describe, numbers_of
from course_lib.concepts.c07_mlm_vs_next_token.tasks.cached_step import cached_step
from course_lib.concepts.c07_mlm_vs_next_token.tasks.temperature import by_argmax as temperature
from course_lib.concepts.c07_mlm_vs_next_token.tasks.top_p import NEAR, top_p
from course_lib.decoder import GPT

Array = np.ndarray


def reads_each_once(result: Array, inputs: Mapping[str, Any]) -> str:
    """Where too much or too little was read."""
    if result.dtype.kind != "u":
        return ""
    wanted = [len(inputs["ids"])] + [1] * (inputs["n_new"] - 1)
    for number, (got, right) in enumerate(zip(result.tolist(), wanted, strict=True), start=1):
        if got != right:
            return f"For token {number} it reads {got} tokens, expected {right}: each token is read once."
    return ""


exercise = Exercise(
    level=3,
    minutes=20,
    section="How a model writes",
    results=("tokens read", "probabilities", "tokens"),
    properties=(Property("reads each once", reads_each_once),),
    on_trust="how much the model reads, and when",
)


@exercise.solution
def write(read, draw, ids, n_new, t, p):
    """Write n_new tokens after a prompt; each token passes through the model once.

    Args:
        read: read(new, stored, cached_step) gives the scores of the next token, and what is stored now.
        draw: draw(probabilities) gives a token.
        ids: the prompt, a list.
        n_new: how many tokens to write.
        t, p: temperature, and where the probabilities are cut.
    """
    ### BEGIN SOLUTION
    new, stored, written = ids, None, []
    for _ in range(n_new):
        scores, stored = read(new, stored, cached_step)
        written.append(draw(top_p(temperature(scores, t), p)))
        new = written[-1:]
    return written
    ### END SOLUTION


# -------------------------------------------------------------------------------------- models that read on

VOCABULARY, HEADS, WIDTH, PLACES = 17, 2, 6, 13  # of a small model

Stored = tuple[tuple[Tensor, Tensor], ...]  # keys and values of each layer, (B, H, S, K)

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Any]

# A model that reads on: from tokens (T,), what is stored (None: nothing yet) and a function for attention
# to a score (V,) for each token that could follow, and what is stored then.
Reads = Callable[[Tensor, Stored | None, Attend], tuple[Tensor, Stored]]


def three(given: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What the learner's attention gave.

    Raises: WrongForm: it is not three tensors.
    """
    if isinstance(given, tuple | list) and len(given) == 3 and all(isinstance(x, Tensor) for x in given):
        mix, keys, values = given
        return mix, keys, values
    raise WrongForm(f"`cached_step` should give three tensors; it gave {describe(given)}.")


@dataclass(frozen=True, repr=False)
class Small:
    """A model of attention alone, which reads on: the same numbers for the same seed, in float64."""

    n_layers: int
    seed: int

    def __repr__(self) -> str:
        layers = "one layer" if self.n_layers == 1 else f"{self.n_layers} layers"
        return f"a model of {layers} that knows {VOCABULARY} tokens"

    @functools.cached_property
    def weights(self) -> dict[str, Tensor]:
        """Vectors of tokens and places, the matrices of each layer, the head."""
        generator = torch.Generator().manual_seed(self.seed)
        shapes = {
            "tokens": (VOCABULARY, WIDTH),
            "places": (PLACES, WIDTH),
            "layers": (self.n_layers, 3, WIDTH, WIDTH),
            "head": (WIDTH, VOCABULARY),
        }
        return {
            name: torch.randn(shape, dtype=torch.float64, generator=generator)
            * (0.7 if len(shape) > 2 else 1)
            for name, shape in shapes.items()
        }

    def __call__(self, ids: Tensor, stored: Stored | None, attend: Attend) -> tuple[Tensor, Stored]:
        """As `Reads` has it."""
        weights = self.weights
        start = 0 if stored is None else stored[0][0].shape[-2]
        x = weights["tokens"][ids] + weights["places"][start : start + len(ids)]
        kept = []
        for layer, projections in enumerate(weights["layers"]):
            heads = (x @ projections).unflatten(-1, (HEADS, -1)).transpose(1, 2)[:, None]  # (3, 1, H, T, K)
            q, k, v = heads
            keys, values = (k[..., :0, :], v[..., :0, :]) if stored is None else stored[layer]
            mix, *new = three(attend(q, k, v, keys, values))
            x = x + mix[0].transpose(0, 1).flatten(1)
            kept.append((new[0], new[1]))
        return x[-1] @ weights["head"], tuple(kept)


class Count:
    """What a layer takes for its cache: it knows how many tokens came before, and keeps none of them."""

    def __init__(self, length: int) -> None:
        self.length = length

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Only the new ones go on."""
        self.length += k.shape[-2]
        return k, v


def reads_on(model: GPT, ids: Tensor, stored: Stored | None, attend: Attend) -> tuple[Tensor, Stored]:
    """As `Reads` has it, by a `GPT`: each head of keys and values is stored once for each query head."""
    n_before = 0 if stored is None else stored[0][0].shape[-2]
    attentions: list[Any] = [block.attention for block in model.stack.blocks]
    cache: list[Any] = [Count(n_before) for _ in attentions]
    kept: list[tuple[Tensor, Tensor]] = []

    def instead(layer: int) -> Callable[..., Tensor]:
        def mix(q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
            keys, values = (k[..., :0, :], v[..., :0, :]) if stored is None else stored[layer]
            mixed, *new = three(attend(q, k, v, keys, values))
            kept.append((new[0], new[1]))
            return mixed

        return mix

    before = [attention.attend for attention in attentions]
    try:
        for layer, attention in enumerate(attentions):
            attention.attend = with_one_mask(instead(layer))
        scores = model.next_token_logits(ids[None].to(model.lm_head.weight.device), cache)[0]
    finally:
        for attention, function in zip(attentions, before, strict=True):
            attention.attend = function
    return scores, tuple(kept)


# ------------------------------------------------------------------------ what the learner's function calls


class Reader:
    """What a learner's function calls as `read`: a model, and a record of what it was asked.

    Args:
        reads: the model.
        n_likeliest: so many tokens are left to choose from; None: all.

    `scores` has what each call gave, for the whole vocabulary, and `n_read` how many tokens it read.
    """

    def __init__(self, reads: Reads, n_likeliest: int | None = None) -> None:
        self.reads = reads
        self.n_likeliest = n_likeliest
        self.scores: list[Tensor] = []
        self.n_read: list[int] = []

    def __call__(self, ids: Any, stored: Any, attend: Attend) -> tuple[Tensor, Stored]:
        """Read tokens that follow those of which keys and values are stored.

        Args:
            ids: at least one token.
            stored: what a call before gave; None at the start of a text.
            attend: the task's `cached_step`.
        Returns: scores of the tokens that are left to choose from, and what is stored now.
        Raises: WrongForm: something else came.
        """
        try:
            row = torch.as_tensor(ids).reshape(-1)
        except (TypeError, ValueError, RuntimeError):
            row = torch.zeros(0)
        if not len(row) or row.is_floating_point():
            raise WrongForm(f"`read` takes tokens, at least one whole number; got {describe(ids)}.")
        if stored is not None and not isinstance(stored, tuple):
            raise WrongForm(
                f"`read` takes what it gave before as its second argument, or None; got {describe(stored)}."
            )
        with torch.no_grad():
            scores, kept = self.reads(row, stored, attend)
        self.n_read.append(len(row))
        self.scores.append(scores)
        return scores[self.tokens], kept

    @property
    def tokens(self) -> Tensor:
        """The tokens that are left to choose from, in the order of the vocabulary."""
        n_tokens = len(self.scores[-1])
        if self.n_likeliest is None:
            return torch.arange(n_tokens)
        return self.scores[-1].topk(self.n_likeliest).indices.sort().values


class Draw:
    """What a learner's function calls as `draw`; the same numbers for the same seed.

    `seen` has the probabilities that it got, `scores` what was read last, `drawn` what it gave, `n_read`
    how many tokens were read since the draw before, and `nearest` says how near a number came to the border
    between two tokens.
    """

    def __init__(self, reader: Reader, seed: int) -> None:
        self.reader = reader
        self.rng = np.random.default_rng(seed)
        self.seen: list[Array] = []
        self.scores: list[Tensor] = []
        self.drawn: list[int] = []
        self.n_read: list[int] = []
        self.nearest = math.inf

    def __call__(self, probabilities: Any) -> int:
        """One token, as likely as the probabilities say.

        Raises: WrongForm: they are not as many as there were scores, or none is above 0.
        """
        if not self.reader.scores:
            raise WrongForm("`draw` was called before anything was read.")
        tokens = self.reader.tokens
        chances = numbers_of(probabilities, tensor=False).astype(float)
        if chances.shape != tokens.shape:
            raise WrongForm(
                f"`draw` takes a probability for each of the {len(tokens)} scores; "
                f"got {describe(probabilities)}."
            )
        self.seen.append(chances)
        self.scores.append(self.reader.scores[-1])
        self.n_read.append(sum(self.reader.n_read) - sum(self.n_read))
        sums = np.nan_to_num(chances).cumsum()
        if not sums[-1] > 0:
            raise WrongForm(f"`draw` takes probabilities that sum to 1; these sum to {sums[-1]:.6g}.")
        number = self.rng.random() * sums[-1]
        self.nearest = min(self.nearest, float(np.abs(sums[:-1] - number).min()))
        self.drawn.append(int(tokens[np.searchsorted(sums, number, side="right")]))
        return self.drawn[-1]


# ------------------------------------------------------------------------------------------------ trying it

Written = tuple[Array, Array, Array]  # how much was read for each token, its probabilities, the tokens


@exercise.adapt
def with_model(writer: Callable[..., Any]) -> Callable[..., Written]:
    """Let somebody's function write with a case's model, and look at what it did."""

    def written(model: Small, ids: list[int], n_new: int, t: float, p: float, seed: int) -> Written:
        reader = Reader(model)
        draw = Draw(reader, seed)
        tokens = writer(reader, draw, ids, n_new, t, p)
        if len(draw.seen) != n_new:
            raise WrongForm(
                f"It should draw {n_new} tokens, one with each call of `draw`; it drew {len(draw.seen)}."
            )
        return np.array(draw.n_read, np.uint32), np.stack(draw.seen), numbers_of(tokens, tensor=False)

    return written


def cut_and_scaled(scores, t, p):
    """Temperature first, then top-p."""
    return top_p(temperature(scores, t), p)


def top_p_first(scores, t, p):
    """The cut is made at temperature 1."""
    kept = top_p(scores.softmax(-1), p) > 0
    return temperature(scores.masked_fill(~kept, -torch.inf), t)


@exercise.cases
def _(rng):
    def inputs(n_layers, n_ids, n_new, t, p):
        """A text in which no number of `draw`, and no sum of the likeliest, comes near to a border.

        Where both temperature and top-p are at work, their order shows, and whether anything is drawn.
        """
        while True:
            known = {
                "model": Small(n_layers, int(rng.integers(1000))),
                "ids": rng.permutation(VOCABULARY)[:n_ids].tolist(),
                "n_new": n_new,
                "t": t,
                "p": p,
                "seed": int(rng.integers(1000)),
            }
            reader = Reader(known["model"])
            draw = Draw(reader, known["seed"])
            tokens = write(reader, draw, known["ids"], n_new, t, p)
            rows = torch.stack(reader.scores)
            sums = temperature(rows, t).sort(descending=True).values.cumsum(-1)
            near = float((sums - p).abs().min()) if t and p < 1 else 1.0
            kept, others = cut_and_scaled(rows, t, p) > 0, top_p_first(rows, t, p) > 0
            some_left = bool((others.sum(-1) > 1).any())
            order_tells = t in (0, 1) or p == 1 or (some_left and not torch.equal(kept, others))
            if min(draw.nearest, near) > NEAR and len(set(tokens)) == n_new and order_tells:
                return known

    return [
        Case("two new tokens", inputs(1, 3, 2, 1.0, 0.8)),
        Case("the likeliest", inputs(1, 3, 3, 0.0, 1.0), catches="a temperature of 0"),
        Case("two layers, hot, and cut", inputs(2, 5, 3, 3.0, 0.5), catches="top-p before the temperature"),
    ]


# -------------------------------------------------------------------------------------- with the real model

QUESTION = "Begin a story about a cat who learns to read."

N_TOKENS = 20

SETTINGS = ((1.5, 0.9), (1.5, 1.0))  # t and p: the same heat, with and without the cut

# So many scores go to the learner, whose function may be a slow loop, or compare all with all.
N_LIKELIEST = 2000


def reading_without_cache(n_ids: int, n_new: int) -> int:
    """How many tokens pass through a model that reads the whole text again for each new one."""
    return sum(n_ids + done for done in range(n_new))


@exercise.finale
@real_model.with_smollm2("write with your cache and your sampler")
def writes_with_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let the learner's function write with SmolLM2: at temperature 0, and drawn; say what the cache saved.

    Raises: WrongForm: its text at temperature 0, its probabilities or its scores are not the model's own.
    """
    device, end = model.lm_head.weight.device, tokenizer.special_tokens["<|im_end|>"]
    ids = tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))
    own = generation.new_tokens(model, torch.tensor([ids], device=device), N_TOKENS, eos_id=end)
    tokens = [int(token) for token in own]
    yield f"{real_model.QUESTION}\nSmolLM2: {''.join(real_model.as_text(tokenizer, tokens))}"
    reader, draw = _written(learner, model, ids, len(tokens), 0.0, 1.0)
    yield f"\nwith your cache, t = 0: {''.join(real_model.as_text(tokenizer, draw.drawn))}"
    if draw.drawn != tokens:
        raise WrongForm("In the real model your function writes another text at t = 0 than the model itself.")
    off, largest = _off(model, ids, draw)
    n_layers = len(model.stack.blocks)
    few, many = sum(reader.n_read), reading_without_cache(len(ids), len(tokens))
    yield (
        f"\nYour cached_step was called {n_layers * len(reader.n_read)} times. {few} tokens passed through "
        f"the model; without a cache {many} would have, {many / few:.1f} times as many. The largest "
        f"difference of a score is {off:.1g}, of scores up to {largest:.0f}.\n"
    )
    ids = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    yield f"\n{QUESTION} (from the {N_LIKELIEST:,} likeliest tokens each time)"
    for t, p in SETTINGS:
        reader, draw = _written(learner, model, ids, N_TOKENS, t, p)
        yield f"\nt = {t:g}, p = {p:g}: {''.join(real_model.as_text(tokenizer, draw.drawn))}"
    few, many = sum(reader.n_read), reading_without_cache(len(ids), N_TOKENS)
    yield (
        f"\nFor each text {few} tokens passed through the model; without a cache {many} would have, "
        f"{many / few:.1f} times as many.\n"
    )


def _written(
    learner: Callable[..., Any], model: GPT, ids: list[int], n_new: int, t: float, p: float
) -> tuple[Reader, Draw]:
    """What the learner's function writes with the real model.

    Raises: WrongForm: it draws from other probabilities than ours, or not as many tokens.
    """
    reader = Reader(functools.partial(reads_on, model), N_LIKELIEST)
    draw = Draw(reader, 0)
    learner(reader, draw, list(ids), n_new, t, p)
    if len(draw.drawn) != n_new:
        raise WrongForm(f"In the real model it draws {len(draw.drawn)} tokens, expected {n_new}.")
    for scores, chances in zip(draw.scores, draw.seen, strict=True):
        best = scores.topk(N_LIKELIEST).indices.sort().values
        expected = cut_and_scaled(scores[best].cpu().double(), t, p).numpy()
        # A token that ties for the last place moves a chance by less.
        if not np.abs(chances - expected).max() < 0.01:
            raise WrongForm("From the real model's scores your function makes other probabilities than ours.")
    return reader, draw


def _off(model: GPT, ids: list[int], draw: Draw) -> tuple[float, float]:
    """How far the scores are from those of the model that reads all at once, and how large these are.

    Raises: WrongForm: too far.
    """
    text = torch.tensor([[*ids, *draw.drawn[:-1]]], device=model.lm_head.weight.device)
    with torch.no_grad():
        expected = model(text)[0, len(ids) - 1 :]
    off = float((torch.stack(draw.scores) - expected).abs().max())
    largest = float(expected.abs().max())
    limit = real_model.FURTHEST * largest
    if not off < limit:
        raise WrongForm(f"In the real model a score is off by {off:.3g}, expected at most {limit:.2g}.")
    return off, largest


# ------------------------------------------------------------------------------ what is read, and handed on

exercise.changed(
    "everything read again",
    "The tokens are right, but the whole text is read again for each: hand on what `read` gave you as "
    "`stored`, and read the new token alone.",
    ("scores, stored = read(new, stored,", "scores, stored = read(new, None,"),
    ("new = written[-1:]", "new = ids + written"),
)
exercise.changed(
    "everything read twice",
    "The whole text is read again though it is stored already, so the model sees it twice: read the new "
    "token alone.",
    ("new = written[-1:]", "new = ids + written"),
)
exercise.changed(
    "all new tokens read again",
    "All tokens written so far are read again though they are stored: read the last one alone.",
    ("new = written[-1:]", "new = written"),
)
exercise.changed(
    "the prompt read again",
    "The prompt is read each time: after the first draw the new token is what is not read yet.",
    ("new = written[-1:]", "new = ids"),
)
exercise.changed(
    "nothing kept",
    "Each new token is read as if it began the text: hand on what `read` gave you as `stored`.",
    ("stored = read(new, stored,", "stored = read(new, None,"),
)
exercise.changed(
    "only the prompt kept",
    "What was stored after the prompt is handed on each time: take what the last call gave.",
    ("scores, stored = read", "scores, now = read"),
    ("new = written[-1:]", "stored, new = stored or now, written[-1:]"),
)
exercise.changed(
    "the last token of the prompt",
    "Only the last token of the prompt was read: what is stored is empty at first, so read all of it.",
    ("= ids, None", "= ids[-1:], None"),
)
exercise.changed(
    "the prompt returned too",
    "The prompt stands in front of the new tokens: return those that were drawn.",
    ("return written", "return ids + written"),
)


# --------------------------------------------------------------------------------------- what is drawn from

exercise.changed(
    "t without effect",
    "The temperature changes nothing: hand t on to your `temperature`.",
    ("temperature(scores, t)", "temperature(scores, 1.0)"),
)
exercise.changed(
    "top-p forgotten",
    "All tokens keep a chance: cut the probabilities with your `top_p`.",
    ("top_p(temperature(scores, t), p)", "temperature(scores, t)"),
)
exercise.changed(
    "top-p before the temperature",
    "The cut was made before the temperature: first `temperature`, then `top_p` of what it gives.",
    ("top_p(temperature(scores, t), p)", "top_p_first(scores, t, p)"),
)
exercise.changed(
    "temperature of probabilities",
    "Your `temperature` got probabilities, which it takes for scores: it comes first, then `top_p`.",
    ("top_p(temperature(scores, t), p)", "temperature(top_p(scores.softmax(-1), p), t)"),
)
exercise.changed(
    "top-p of scores",
    "Your `top_p` got scores, which it takes for probabilities: `temperature` comes first.",
    ("top_p(temperature(scores, t), p)", "temperature(top_p(scores, p), t)"),
)
exercise.changed(
    "always the likeliest",
    "The likeliest token is written at any temperature: draw from the probabilities.",
    ("top_p(temperature(scores, t), p)", "temperature(scores, 0)"),
)
exercise.changed(
    "t and p exchanged",
    "t and p are exchanged: the temperature is t, and p is where the probabilities are cut.",
    ("temperature(scores, t), p)", "temperature(scores, p), t)"),
)
