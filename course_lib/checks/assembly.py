"""A real chat model from nine parts of the learner's: each compared with the library's inside it, then used.

    my_model = assemble(rms_norm=rms_norm, mlp=gated_mlp)
    my_model.chat("Why is the sky blue?")
    my_model.certificate()

`Assembled` is the model as nine functions compute it. `Recorder` is the same with the library's nine, and
keeps what went into each and came out, so that a part of the learner's is judged on the library's own
inputs: a fault shows where it is, not further down.
"""

import functools
import html
import inspect
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import generation, positions, pretrained
from course_lib.attention import causal_mask, scaled_dot_product_attention
from course_lib.bpe import BPETokenizer
from course_lib.checks import forms, real_model, taking_along, tasks
from course_lib.checks.byte_pairs import tables_of
from course_lib.checks.call import call, own_line
from course_lib.checks.engine import said_by
from course_lib.checks.guard import Guard, clean_state
from course_lib.checks.inputs import repeatable
from course_lib.checks.show import listener, show
from course_lib.checks.taking_along import PARTS
from course_lib.checks.values import WrongForm, copied, describe, named, numbers_of, same
from course_lib.decoder import GPT, GPTConfig

Tensor = torch.Tensor
Stored = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (1, G, S, K)
Parts = Mapping[str, Callable[..., Any]]

QUESTION = real_model.QUESTION
N_TOKENS = 24  # written to compare two texts
N_LIKELIEST = 2000  # tokens that a sampler chooses from: it may be a slow loop, or compare all with all
FAR = 1000  # a place that no prompt here reaches
END = "<|im_end|>"
# As a share of the largest number of a vector. Correct ways differ by rounding alone, less than 1e-5 of it.
FURTHEST = 1e-4
# By so much more for each place: an angle of 1,000 radians has three digits less after the point.
FURTHER = 1e-6
# Of the logits, as a share of the largest: the layers multiply what rounding does.
TOGETHER = 1e-4

# What the axes of a part's result are called, from the last one back; a first axis of 1 has no name.
AXES = {
    "embedding": ("number", "token"),
    "rms_norm": ("number", "token"),
    "rotation": ("number", "token", "head"),
    "attention": ("number", "token", "head"),
    "mlp": ("number", "token"),
    "block": ("number", "token"),
    "cache": ("number", "token", "key head"),
    "sampler": ("token",),
}


# ---------------------------------------------------------------------------------------- the library's parts


def library_parts(tokenizer: BPETokenizer) -> dict[str, Callable[..., Any]]:
    """The nine parts as the library has them, with the arguments that the learner's get."""

    def cut(words: Sequence[str], ranks: Any, ids: Any, special: Mapping[str, int]) -> list[int]:
        return [i for word in words for i in tokenizer.encode(word)]

    return {
        "tokenizer": cut,
        "embedding": lambda token_ids, table: table[token_ids],
        "rms_norm": lambda x, weight, eps: F.rms_norm(x, weight.shape, weight, eps),
        "rotation": rotate,
        "attention": attend,
        "mlp": lambda x, gate, up, down: F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down),
        "block": block,
        "cache": lambda keys, values, k, v: (torch.cat([keys, k], 2), torch.cat([values, v], 2)),
        "sampler": lambda logits, t, p: generation.next_token_probabilities(logits, temperature=t, top_p=p),
    }


def rotate(x: Tensor, start: int, base: float) -> Tensor:
    """Turn the pairs of x, whose first token stands at place start."""
    places = torch.arange(start, start + x.shape[-2], dtype=torch.float32)
    cos, sin = positions.rotary_at(places, x.shape[-1], base)
    return positions.apply_rotary(x, cos, sin, interleaved=True)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Each key head serves neighbouring query heads."""
    n_sharing = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n_sharing, dim=1), v.repeat_interleave(n_sharing, dim=1)
    return scaled_dot_product_attention(q, k, v, mask)


def block(x: Tensor, attention: Any, mlp: Any, norm_1: Any, norm_2: Any) -> Tensor:
    """A layer, pre-norm."""
    x = x + attention(norm_1(x))
    return x + mlp(norm_2(x))


# ---------------------------------------------------------------------------------------- the assembled model


class Assembled:
    """A Llama-style `GPT` as nine functions compute it: its weights and matrices, their steps.

    Args:
        model: on the CPU, in float32.
        tokenizer: its tables.
        parts: the nine functions by name, see `taking_along.PARTS`.
    """

    def __init__(self, model: GPT, tokenizer: BPETokenizer, parts: Parts) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.parts = parts
        self.tables = tables_of(tokenizer)

    def use(self, part: str, where: str, *given: Any) -> Any:
        """Call one of the nine. All calls come by here, so that a subclass can look on."""
        return self.parts[part](*given)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids = self.use("tokenizer", named(text, 40), self.tokenizer.words(text), *self.tables)
        return list(forms.contents(ids)["result"].item())

    def read(self, ids: Sequence[int], stored: Stored | None = None) -> tuple[Tensor, Stored]:
        """Read some tokens after those that are stored.

        Returns: the logits (T, V) of what follows each, and the keys and values of all tokens so far.
        """
        model, table = self.model, self.model.token_embedding.weight.numpy()
        table.flags.writeable = False  # the view's, not the model's: too large to be copied for each use
        norm = model.stack.norm
        if stored is None:
            stored = self.nothing()
        x = as_vectors(self.use("embedding", "the tokens", np.array([ids]), table))
        grown: Stored = []
        for number, keys_and_values in enumerate(stored):
            x, now = self.layer(number, x, *keys_and_values)
            grown.append(now)
        x = self.use("rms_norm", "after the last layer", x, norm.weight, norm.eps)
        return model.lm_head(x)[0], grown

    def layer(self, number: int, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Any]:
        """One layer: the stream after it, and its keys and values."""
        layer: Any = self.model.stack.blocks[number]
        at = f"layer {number}"
        now: list[Any] = [(keys, values)]

        def attention(y: Tensor) -> Tensor:
            mix, now[0] = self.attention(number, y, keys, values)
            return mix

        def mlp(y: Tensor) -> Tensor:
            part = layer.feed_forward
            weights = part.gate_proj.weight, part.up_proj.weight, part.down_proj.weight
            return self.use("mlp", at, y, *weights)

        def norm(before: str, its: Any) -> Callable[[Tensor], Tensor]:
            return lambda y: self.use("rms_norm", f"{at}, before {before}", y, its.weight, its.eps)

        norms = norm("attention", layer.attention_norm), norm("the MLP", layer.feed_forward_norm)
        return self.use("block", at, x, attention, mlp, *norms), now[0]

    def attention(self, number: int, y: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Any]:
        """What attention adds to the stream, from its four matrices, and the grown keys and values."""
        rotary: Any = self.model.rotary
        block: Any = self.model.stack.blocks[number]
        layer, at, base = block.attention, f"layer {number}", rotary.base
        start, n_new = keys.shape[2], y.shape[1]
        q, k, v = (heads(part(y), layer.d_head) for part in (layer.q_proj, layer.k_proj, layer.v_proj))
        q = self.use("rotation", f"{at}, the queries", q, start, base)
        k = self.use("rotation", f"{at}, the keys", k, start, base)
        grown = self.use("cache", at, keys, values, k, v)
        mix = self.use("attention", at, q, *grown, causal_mask(n_new, start + n_new))
        return layer.out_proj(mix.transpose(1, 2).flatten(2)), tuple(grown)

    def nothing(self) -> Stored:
        """The keys and values of no token."""
        config = self.model.config
        shape = (1, config.n_kv_heads or config.n_heads, 0, config.d_model // config.n_heads)
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in range(config.n_layers)]

    def write(
        self,
        ids: Sequence[int],
        n_new: int,
        t: float = 0.0,
        p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Write after a prompt, up to the end of the answer: each token, and the logits (V) it came from."""
        new, stored = list(ids), None
        for _ in range(n_new):
            with torch.no_grad():  # here and not around the loop: who listens computes as before
                scores, stored = self.read(new, stored)
                token = self.choose(scores[-1], t, p, generator)
            yield token, scores[-1]
            if token == self.tokenizer.special_tokens[END]:
                return
            new = [token]

    def choose(self, logits: Tensor, t: float, p: float, generator: torch.Generator | None) -> int:
        """Draw a token from what the sampler makes of the likeliest."""
        likeliest = places_of_likeliest(logits)
        chances = torch.as_tensor(self.use("sampler", f"t = {t:g}, p = {p:g}", logits[likeliest], t, p))
        return int(likeliest[torch.multinomial(chances, 1, generator=generator)])


def heads(x: Tensor, width: int) -> Tensor:
    """(B, T, H K) to (B, H, T, K)."""
    return x.unflatten(-1, (-1, width)).transpose(1, 2)


def places_of_likeliest(logits: Tensor) -> Tensor:
    """The ids of the likeliest tokens, in the order of the vocabulary."""
    return logits.topk(min(N_LIKELIEST, len(logits))).indices.sort().values


# -------------------------------------------------------------------------------------------------- recording


@dataclass(frozen=True)
class Use:
    """One use of a part in the model: where, what went in, what came out of the library's."""

    part: str
    where: str
    given: tuple[Any, ...]
    right: Any
    furthest: float = FURTHEST


class Recorder(Assembled):
    """The model with the library's parts, which keeps every use of each part."""

    def __init__(self, model: GPT, tokenizer: BPETokenizer) -> None:
        super().__init__(model, tokenizer, library_parts(tokenizer))
        self.uses: dict[str, list[Use]] = {part: [] for part in PARTS}
        self.reading = ""  # what is read just now; nothing is kept while it is empty

    def use(self, part: str, where: str, *given: Any) -> Any:
        right = super().use(part, where, *given)
        if self.reading:
            place = f"{where}, {self.reading}" if part != "tokenizer" else where
            self.uses[part].append(Use(part, place, given, right))
        return right


TEXTS = (
    "In 2024 it cost 1,234.50 euros, 12 more.",
    "Grüße aus Zürich; Привет, мир! 你好 नमस्ते",
    "\N{CAT FACE}\N{CAT FACE} and \N{SNAKE}: for i in range(10):\n    print(i)\n\n",
    f"<|im_start|>user\nWhat does {END} do?{END}",
    " ",
    "",
)


@functools.lru_cache(maxsize=2)
def recorded(model: GPT, tokenizer: BPETokenizer) -> dict[str, list[Use]]:
    """What goes into each part and comes out of it: a prompt, then one token and several, and one alone.

    A rotation is used at a far place too, a sampler at several temperatures.
    """
    recorder = Recorder(model, tokenizer)
    with torch.no_grad(), clean_state():
        recorder.reading = "a text"
        prompt = recorder.encode(pretrained.chat_prompt(QUESTION))
        for text in TEXTS:
            recorder.encode(text)
        recorder.reading = "reading the prompt"
        logits, stored = recorder.read(prompt)
        more = tokenizer.encode(" Paris is it.")[:3]
        recorder.reading = "reading one token more"
        _, stored = recorder.read(more[:1], stored)
        recorder.reading = "reading several tokens more"
        recorder.read(more, stored)
        recorder.reading = "reading a prompt of one token"
        recorder.read(prompt[:1])
        uses = recorder.uses
        q, _, base = uses["rotation"][0].given
        far = FURTHEST + FURTHER * (FAR + q.shape[2])
        uses["rotation"].append(
            Use("rotation", f"at place {FAR} and after", (q, FAR, base), rotate(q, FAR, base), far)
        )
        uses["sampler"] = sampler_uses(logits[-1], recorder.parts["sampler"])
        recorder.reading = ""  # a layer that is used again calls the recorder's parts
    return uses


def sampler_uses(logits: Tensor, sampler: Callable[..., Tensor]) -> list[Use]:
    """The model's own logits, cut at a p that no sum of the likeliest comes near to."""
    likeliest = logits[places_of_likeliest(logits)]
    uses = []
    for t, p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.9), (0.7, 0.9), (2.0, 0.5), (0.3, 0.95), (1e-4, 0.9)):
        p = between(likeliest, t, p)
        uses.append(Use("sampler", f"t = {t:g}, p = {p:.4g}", (likeliest, t, p), sampler(likeliest, t, p)))
    return uses


def between(logits: Tensor, t: float, p: float) -> float:
    """A p near the given one, in the middle between two sums of the likeliest."""
    if t == 0 or p == 1:
        return p
    sums = ((logits - logits.max()).double() / t).softmax(-1).sort(descending=True).values.cumsum(-1)
    place = int((sums < p).sum())
    before = float(sums[place - 1]) if place else 0.0
    return (before + float(sums[place])) / 2


# -------------------------------------------------------------------------------------------------- comparing


class WrongKind(WrongForm):
    """The result is no tensor in float32."""


@dataclass(frozen=True)
class Judgement:
    """What was found about one part. `problem` is empty when all is well."""

    part: str
    given: bool = True  # by the learner
    written: bool = True  # no stub
    n_uses: int = 0
    off: float = 0.0  # the largest difference, as a share of the largest number of its vector
    problem: str = ""
    where: str = ""  # of the first difference
    misconception: str = ""
    detail: str = ""

    @property
    def yours(self) -> bool:
        """Whether the part is the learner's and right."""
        return self.given and self.written and not self.problem

    def __str__(self) -> str:
        name = f"{self.part} ({PARTS[self.part].function})"
        if self.yours:
            return f"✓ {name}: yours, in {self.n_uses} uses{self.how_far()}"
        place = f"In {self.where}: " if self.where.startswith("layer") else f"{self.where}: "
        lines = [f"✗ {name}: {place if self.where else ''}{self.problem}", self.detail]
        return "\n    ".join([line for line in lines if line] + ["The library's is used."])

    def how_far(self) -> str:
        """The largest difference, in words."""
        if self.part == "tokenizer":
            return ", all tokens the same"
        return f", the largest difference {self.off:.1g} of the largest number"


def judge(part: str, learner: Any, uses: Sequence[Use], seconds: float) -> Judgement:
    """Give a learner's part what the library's got, and compare what comes out."""
    if not callable(learner):
        return Judgement(
            part, problem=f"it must be a function, given without parentheses, but is {describe(learner)}."
        )
    task = tasks.task(PARTS[part].task)
    kept: list[Any] = []  # results as they came, and copies of them
    off = 0.0
    for number, use in enumerate(uses):
        judged, result, how_far = _tried(part, learner, use, task.forbidden, seconds)
        if judged is not None and judged.written and result is not None:
            known = diagnosed(task, learner, uses, number, seconds)
            if known is not None:
                judged = Judgement(
                    part,
                    problem=known.hint,
                    where=judged.where,
                    misconception=known.name,
                    detail=judged.detail,
                )
        if judged is None and number < 8:
            kept.append((use, result, [copied(value) for value in _several(part, result)]))
        if judged is None:
            judged = _overwritten(part, kept)
        if judged is not None:
            return judged
        off = max(off, how_far)
    return Judgement(part, n_uses=len(uses), off=off)


def _tried(
    part: str, learner: Any, use: Use, forbidden: tuple[str, ...], seconds: float
) -> tuple[Judgement | None, Any, float]:
    """One use: what is wrong with it, what came, how far it is off."""
    given = tuple(map(_lent, use.given))
    guard = Guard(forbidden)

    def run() -> Any:
        with clean_state(), torch.no_grad(), guard:  # switches are for one thread only, and this is another
            return _read(part, learner(*given))

    def wrong(problem: str, detail: str = "") -> Judgement:
        return Judgement(part, problem=problem, where=use.where, detail=detail)

    outcome = call(run, seconds)
    if outcome.late:
        stuck = " It could not be stopped: restart the kernel before you go on." if outcome.stuck else ""
        return wrong(f"it took longer than {seconds:g} s.{stuck}"), None, 0.0
    if outcome.error is not None:
        if _is_stub(outcome.error, learner):
            return Judgement(part, written=False), None, 0.0
        return wrong(_stopped(outcome.error), own_line(outcome.error)), None, 0.0
    changed = next(
        (i for i, value in enumerate(given) if value is not use.given[i] and not same(value, use.given[i])),
        None,
    )
    if changed is not None:
        name = PARTS[part].arguments[changed]
        return wrong(f"it changes its input {name!r}: work on a copy, the model still needs it."), None, 0.0
    if guard.called:
        return wrong(f"it calls {guard.called}, which does the work: write the steps yourself."), None, 0.0
    try:
        off, detail = difference(part, use, outcome.value)
    except WrongForm as error:  # of a wrong kind no known mistake is the reason
        return wrong(str(error)), None if isinstance(error, WrongKind) else outcome.value, 0.0
    if detail:
        return wrong("another result than the library's.", detail), outcome.value, off
    return None, outcome.value, off


def difference(part: str, use: Use, got: Any) -> tuple[float, str]:
    """How far a result is off, and the first place where it is too far.

    Raises: WrongForm: it cannot be compared.
    """
    if part == "tokenizer":
        return 0.0, _other_tokens(use.right, forms.contents(got)["result"].item())
    names, largest = ("keys", "values") if part == "cache" else ("",), 0.0
    rights, gots = _several(part, use.right), _several(part, got)
    if len(gots) != len(names):
        raise WrongForm(f"it must return two tensors, the keys and the values, but got {_what(got)}.")
    for name, right, came in zip(names, rights, gots, strict=True):
        right, came = _numbers(right), as_tensor(part, name, right, came)
        scale = right.abs().amax(-1, keepdim=True).clamp(min=1e-3 * float(right.abs().max()), max=None)
        share = (came.double() - right).abs() / scale.clamp(min=1e-30)
        largest = max(largest, float(share.max()) if share.numel() else 0.0)
        wrong = (share > use.furthest).nonzero()
        if len(wrong):
            where = tuple(int(i) for i in wrong[0])
            n_wrong = f"{len(wrong):,} of {right.numel():,} numbers are off"
            place = f"{name}, {_place(part, where)}" if name else _place(part, where)
            return (
                largest,
                f"First at {place}: expected {right[where]:.6g}, got {came[where]:.6g}; {n_wrong}.",
            )
    return largest, ""


def as_tensor(part: str, name: str, right: Any, came: Any) -> Tensor:
    """What came as a tensor of the right kind and shape.

    Raises: WrongForm: it is of another.
    """
    what = f"the {name}" if name else "the result"
    if came is None and not name:
        raise WrongKind("it returns None: is the `return` missing?")
    if part == "embedding":
        came = as_vectors(came)
    if not isinstance(came, Tensor):
        raise WrongKind(f"{what} must be a torch.Tensor, but is {_what(came)}.")
    if came.device.type != "cpu" or came.layout != torch.strided:
        raise WrongKind(f"{what} must be a plain tensor on the CPU, but is {came.layout} on {came.device}.")
    if came.shape != right.shape:
        raise WrongForm(f"{what} has shape {tuple(came.shape)}, expected {tuple(right.shape)}.")
    if came.dtype != torch.float32:
        raise WrongKind(f"{what} is in {came.dtype}, expected torch.float32, as the inputs are.")
    bad = (~came.isfinite()).nonzero()
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise WrongForm(f"{what} holds {came[where]} at {_place(part, where)}.")
    return came


def _lent(value: Any) -> Any:
    """A copy, unless nobody can write into it; of a tokenizer's tables not their entries too."""
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return value
    return dict(value) if isinstance(value, dict) else copied(value)


def _numbers(value: Any) -> Tensor:
    """A result as a tensor; a copy of an array, which may be a view of one that nobody may write into."""
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else torch.as_tensor(value)


def as_vectors(value: Any) -> Tensor:
    """What an embedding gave, in float32. Its exercise is NumPy's, so float64, lists and tensors will do.

    Raises: WrongKind: it is not made of numbers.
    """
    try:
        return torch.from_numpy(numbers_of(value, tensor=False).astype(np.float32))
    except WrongForm as error:
        raise WrongKind(str(error)) from None


def _several(part: str, result: Any) -> tuple[Any, ...]:
    """The results of a part: a cache gives two, in a pair or in one tensor; all others give one."""
    is_pair = isinstance(result, Tensor) and result.ndim == 5 and len(result) == 2
    return tuple(result) if part == "cache" and (is_pair or isinstance(result, tuple | list)) else (result,)


def _read(part: str, result: Any) -> Any:
    """A result whose numbers are there: to be called where an error or a loop of the learner's is caught."""
    if part == "tokenizer" and not isinstance(result, list | None):  # of a list a later call may change
        return forms.contents(result)["result"].item()
    if part == "embedding" and isinstance(result, tuple | list):
        return np.array(result)
    return result


def _what(value: Any) -> str:
    """As `describe`, but of lists and tuples only how long they are."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of length {len(value)}"
    return describe(value)


def _place(part: str, where: tuple[int, ...]) -> str:
    """Such as 'head 3, token 7, number 0'; all are counted from 0."""
    axes = zip(AXES[part], reversed(where), strict=False)
    return ", ".join(f"{name} {i}" for name, i in reversed(list(axes)))


def _is_unwritten(error: BaseException) -> bool:
    """Whether it comes from a stub; torch raises the same, with a message."""
    return isinstance(error, NotImplementedError) and not error.args


def _raised_in(error: BaseException) -> Any:
    """The code in which an error arose."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code


def _is_stub(error: BaseException, learner: Any) -> bool:
    """Whether the part itself is not written, rather than a helper that it calls."""
    own = getattr(inspect.unwrap(learner), "__code__", None)
    return _is_unwritten(error) and own in (None, _raised_in(error))


def _stopped(error: BaseException) -> str:
    """What to say of an error in a part."""
    if _is_unwritten(error):
        return f"it calls `{_raised_in(error).co_name}`, which is not written yet."
    return f"it stops with {type(error).__name__}: {said_by(error)}"


def _other_tokens(right: list[int], got: Any) -> str:
    """The first token that is another; nothing where all are the same."""
    if got == right:
        return ""
    if not isinstance(got, list):
        raise WrongForm(f"it must return a list of ids, but got {describe(got)}.")
    i = next(
        (i for i, (a, b) in enumerate(zip(right, got, strict=False)) if a != b), min(len(right), len(got))
    )
    wanted, came = ([*map(repr, ids), "nothing"][min(i, len(ids))] for ids in (right, got))
    return f"First at token {i} of {len(right)}: expected {wanted}, got {came}."


def _overwritten(part: str, kept: list[Any]) -> Judgement | None:
    """Whether a later call has changed what an earlier one gave."""
    for use, result, before in kept:
        if not all(map(same, _several(use.part, result), before)):
            problem = (
                "a later call changes what this one returned: does it write into something that it keeps? "
                "Return new tensors."
            )
            return Judgement(part, problem=problem, where=use.where)
    return None


def diagnosed(task: Any, learner: Any, uses: Sequence[Use], first: int, seconds: float) -> Any:
    """The one known mistake that gives what the learner's part gives; None where none or several do.

    It must be right where the part is right, before the first difference, and wrong as it is there, on a few
    uses after, and on some far from it: two mistakes may be the same until a cache is in use.
    """
    near = [*uses[max(0, first - 3) : first + 3], *uses[first + 3 :: 1 + len(uses) // 5]]
    tried = [(use, _result(learner, use, seconds)) for use in near]
    found = []
    for known in task.misconceptions:
        wrong = [(use, _result(known.wrong, use, seconds), came) for use, came in tried]
        is_right = all(_agrees(use, result, use.right) for use, result, _ in wrong)  # in this model
        if not is_right and all(_agrees(*one) for one in wrong):
            found.append(known)
    return found[0] if len(found) == 1 else None


def _result(function: Callable[..., Any], use: Use, seconds: float) -> Any:
    given = tuple(map(_lent, use.given))

    def run() -> Any:
        with clean_state(), torch.no_grad():
            return _read(use.part, function(*given))

    return call(run, seconds).value


def _agrees(use: Use, wrong: Any, came: Any) -> bool:
    """Whether two results are the same up to rounding; what failed is like nothing."""
    if wrong is None or came is None:
        return False
    if use.part == "tokenizer":
        return bool(forms.contents(wrong)["result"].item() == forms.contents(came)["result"].item())
    several, others = _several(use.part, wrong), _several(use.part, came)
    try:
        return len(several) == len(others) and all(
            _close(_numbers(a), _numbers(b), use.furthest) for a, b in zip(several, others, strict=True)
        )
    except (TypeError, ValueError, RuntimeError):  # not even numbers
        return False


def _close(a: Tensor, b: Tensor, furthest: float) -> bool:
    """Whether two tensors are the same, up to a share of the largest number."""
    if a.shape != b.shape or not a.numel():
        return a.shape == b.shape
    slack = furthest * float(a.nan_to_num().abs().max())
    return torch.allclose(a.double(), b.double(), rtol=0.0, atol=slack, equal_nan=True)


# -------------------------------------------------------------------------------------------- the whole model


@dataclass(frozen=True)
class Comparison:
    """The whole model with some parts of the learner's beside the library's own."""

    text: str
    text_of_library: str
    n_logits: int  # tokens whose logits were compared
    off: float  # the largest difference of a logit
    largest: float  # logit
    problem: str = ""  # an error on the way
    late: bool = False  # it did not come to its end in time

    @property
    def same(self) -> bool:
        """Whether both write the same, from the same logits up to rounding."""
        close = self.off <= TOGETHER * self.largest
        return not self.problem and self.text == self.text_of_library and close


def compared(model: GPT, tokenizer: BPETokenizer, parts: Parts, seconds: float) -> Comparison:
    """Let the parts answer a question together, at temperature 0, and compare with the library's model."""
    ids = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    own = generation.stream(model, torch.tensor([ids]), N_TOKENS, eos_id=tokenizer.special_tokens[END])
    expected = "".join(real_model.as_text(tokenizer, (int(token) for token in own)))
    assembled = Assembled(model, tokenizer, parts)

    def run() -> tuple[list[int], Tensor]:
        with clean_state():
            prompt = assembled.encode(pretrained.chat_prompt(QUESTION))
            written = list(assembled.write(prompt, N_TOKENS))
            with torch.no_grad():
                first, _ = assembled.read(prompt)
            tokens = [token for token, _ in written]
            return tokens, torch.cat([first[:-1], torch.stack([scores for _, scores in written])])

    outcome = call(run, seconds)
    if outcome.value is None:
        said = "it takes too long" if outcome.late else f"it stops with {outcome.error!r}"
        return Comparison("", expected, 0, float("inf"), 0.0, said, late=outcome.late)
    tokens, logits = outcome.value
    with torch.no_grad():
        right = model(torch.tensor([[*ids, *tokens[:-1]]]))[0]
    off, largest = float((logits - right).abs().max()), float(right.abs().max())
    text = "".join(real_model.as_text(tokenizer, tokens))
    return Comparison(text, expected, len(logits), off, largest)


@functools.lru_cache(maxsize=2)
def _of_library(model: GPT, tokenizer: BPETokenizer) -> Comparison:
    """The library's parts together: the same for everybody."""
    return compared(model, tokenizer, library_parts(tokenizer), 600.0)


# ----------------------------------------------------------------------------------------------- for learners


@dataclass(repr=False)
class MyModel:
    """A chat model, some of whose parts are the learner's. `assemble` makes it."""

    model: GPT
    tokenizer: BPETokenizer
    name: str
    judgements: dict[str, Judgement]
    parts: dict[str, Callable[..., Any]]  # those in use
    together: Comparison
    missing: str = ""  # why it is not the real model
    turns: str = ""  # what was said so far, as the model reads it
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def yours(self) -> list[str]:
        """The parts that are the learner's, and right."""
        return [part for part, judged in self.judgements.items() if judged.yours]

    def chat(
        self,
        question: str,
        *,
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_new_tokens: int = 80,
        generator: torch.Generator | None = None,
        again: bool = False,
    ) -> str:
        """Ask something; the answer streams below the cell. The model knows what was said before.

        Args:
            question: in any words.
            temperature, top_p: what your sampler gets; at temperature 0 an answer repeats itself.
            max_new_tokens: where a long answer is cut.
            generator: for repeatable draws.
            again: forget what was said before.
        Returns: the answer.
        Raises: ValueError: the conversation is longer than the model's context; a setting out of range.
        """
        if not (temperature >= 0 and 0 < top_p <= 1):
            raise ValueError(
                "temperature must be 0 or more, top_p above 0 and at most 1; "
                f"got temperature {temperature} and top_p {top_p}"
            )
        prompt = pretrained.chat_prompt(question)
        if self.turns and not again:
            prompt = self.turns + prompt[prompt.index("<|im_start|>user") :]
        assembled = Assembled(self.model, self.tokenizer, self.parts)
        ids = assembled.encode(prompt)
        room = self.model.config.max_seq_len - len(ids)
        if room < max_new_tokens:
            raise ValueError(
                f"the conversation has {len(ids)} tokens, so {max_new_tokens} new ones do not fit into "
                f"{self.model.config.max_seq_len}: begin again with again=True"
            )
        written = assembled.write(ids, max_new_tokens, temperature, top_p, generator)
        hear, answer = listener(), ""
        for piece in real_model.as_text(self.tokenizer, (token for token, _ in written)):
            hear(piece)
            answer += piece
        hear("\n")
        self.turns = f"{prompt}{answer}{END}\n"
        return answer

    def certificate(self, seed: int = 0) -> str:
        """Show what was measured, as plain text, and return it.

        Args:
            seed: of the sentence that is drawn.
        """
        n_yours, n_parts = len(self.yours), len(PARTS)
        width = max(map(len, PARTS))
        lines = [f"MY TRANSFORMER: {self.name}, {self.model.config.n_layers} layers, {n_parts} parts", ""]
        if self.missing:
            lines += [self.missing, ""]
        for part, judged in self.judgements.items():
            whose = "mine" if judged.yours else "the library's"
            measured = f"{judged.n_uses} uses{judged.how_far()}" if judged.yours else ""
            lines.append(f"  {part:{width}}  {whose:13}  {measured}".rstrip())
        found = self.together
        alike = "the same" if found.same else "NOT the same"
        together = [
            f"Together: the logits of {found.n_logits} tokens are within {found.off:.1g} of the library's, "
            f"logits up to {found.largest:.0f} ({TOGETHER:g} of the largest would do).",
            f"At temperature 0 {alike} text as the library's: {found.text.strip()!r}",
        ]
        lines += [
            "",
            f"{n_yours} of {n_parts} parts are mine.",
            *(["Together they were not compared: they did not finish in time."] if found.late else together),
            f"Drawn with seed {seed} (temperature 0.7, top-p 0.9): {self._drawn(seed)!r}",
            f"Speed: {self.speed():.2f} times that of the library's torch path, with a cache.",
        ]
        text = "\n".join(lines)
        show(text, f"<pre>{html.escape(text)}</pre>")
        return text

    def speed(self, n_new: int = 5, rounds: int = 3) -> float:
        """Tokens a second as a multiple of the library's own torch path with a cache."""
        ids = self.tokenizer.encode(pretrained.chat_prompt(QUESTION))
        ways = (self._write, self._write_by_library)
        ratios = []
        for _ in range(rounds):
            taken = []
            for way in ways:
                start = time.perf_counter()
                way(ids, n_new)
                taken.append(time.perf_counter() - start)
            ratios.append(taken[1] / taken[0])
        return statistics.median(ratios)

    def save(self, path: str | Path) -> Path:
        """Write your parts, with all that they need, into one Python file; `take_along(path)` reads it.

        Raises: ValueError: a part is no function of a notebook or a file, or two parts use one name for two
            things.
        """
        return taking_along.save(path, {part: self.given[part] for part in self.yours})

    def _drawn(self, seed: int) -> str:
        generator = torch.Generator().manual_seed(seed)
        assembled = Assembled(self.model, self.tokenizer, self.parts)
        ids = assembled.encode(pretrained.chat_prompt("Begin a story about a cat who learns to read."))
        written = assembled.write(ids, N_TOKENS, 0.7, 0.9, generator)
        return "".join(real_model.as_text(self.tokenizer, (token for token, _ in written))).strip()

    def _write(self, ids: list[int], n_new: int) -> None:
        with torch.no_grad():
            assembled = Assembled(self.model, self.tokenizer, self.parts)
            _, stored = assembled.read(ids)
            for token in ids[:n_new]:  # which tokens does not matter
                _, stored = assembled.read([token], stored)

    def _write_by_library(self, ids: list[int], n_new: int) -> None:
        with torch.no_grad():
            cache = self.model.new_cache(capacity=len(ids) + n_new)
            self.model(torch.tensor([ids]), cache)
            for token in ids[:n_new]:
                self.model(torch.tensor([[token]]), cache)

    def __repr__(self) -> str:
        return f"MyModel: {self.name}, {len(self.yours)} of {len(PARTS)} parts yours"

    def __str__(self) -> str:
        return self.report()

    def report(self, said: Sequence[str] = ()) -> str:
        """What was found, without the lines that were said before."""
        judged = self.judgements.values()
        lines = [f"{len(self.yours)} of {len(PARTS)} parts are yours."]
        lines += [str(one) for one in judged if one.given and one.written]
        stubs = [one.part for one in judged if one.given and not one.written]
        others = [one.part for one in judged if not one.given]
        if stubs:
            lines.append(f"· not written yet, so the library's: {', '.join(stubs)}")
        if others:
            lines.append(f"· the library's: {', '.join(others)}")
        found = self.together
        if found.same:
            lines.append(
                f"Together they write {found.text.strip()!r}, as the library does; the largest difference of "
                f"a logit is {found.off:.1g}, of logits up to {found.largest:.0f}."
            )
        if found.late:
            lines.append(
                "Each part is right, but together they did not finish in time, so they were not compared: "
                "assemble(..., seconds=60) gives them more."
            )
        return "\n".join(line for line in (self.missing, *lines) if line and line not in said)


def assemble(
    taken: Mapping[str, Any] | None = None,
    /,
    *,
    tokenizer: Any = None,
    embedding: Any = None,
    rms_norm: Any = None,
    rotation: Any = None,
    attention: Any = None,
    mlp: Any = None,
    block: Any = None,
    cache: Any = None,
    sampler: Any = None,
    seconds: float = 10.0,
    **others: Any,
) -> MyModel:
    """Build SmolLM2 from your parts, and show which of them agree with the library's inside it.

    A part that you do not give, or that differs, is the library's. Where SmolLM2 is not installed, a small
    random model of the same family takes its place.

    Args:
        taken: what `take_along` found; what you name beside it goes before it.
        tokenizer: your `tokenizer_at_work`.
        embedding: your `vectors_in_out`.
        rms_norm: your `rms_norm`.
        rotation: your `rotate_pairs`.
        attention: your `grouped_attention`.
        mlp: your `gated_mlp`.
        block: your `pre_norm_block`.
        cache: your `extend_cache`.
        sampler: your `next_probabilities`.
        seconds: time limit of each use of a part.
        others: there are no other parts.
    Raises: ValueError: a part that there is not, or one that is not named.
    """
    by_name = {
        "tokenizer": tokenizer,
        "embedding": embedding,
        "rms_norm": rms_norm,
        "rotation": rotation,
        "attention": attention,
        "mlp": mlp,
        "block": block,
        "cache": cache,
        "sampler": sampler,
    }
    if not isinstance(taken, Mapping | None):
        raise ValueError(_not_a_part(getattr(taken, "__name__", describe(taken))))
    given = dict(taken or {}) | others | {part: it for part, it in by_name.items() if it is not None}
    for name in given:
        if name not in PARTS:
            raise ValueError(_not_a_part(name))
    missing = ""
    try:
        model, words = _real()
        name = "SmolLM2-135M-Instruct"
    except pretrained.MissingModelError as error:
        model, words = small_model()
        name = "a small random model of SmolLM2's family"
        missing = f"This is {name}, which writes no sense, because SmolLM2 is missing: {error}"
    hear, said = listener(), []

    def say(line: str) -> None:
        said.append(line)
        hear(f"{line}\n")

    if missing:
        say(missing)
    built = assembled(model, words, given, name, seconds=seconds, missing=missing, say=say)
    report = built.report(said)
    show(report, f'<pre style="white-space: pre-wrap">{html.escape(report)}</pre>')
    return built


def _not_a_part(name: str) -> str:
    """What to do with a name that is no part's, such as that of a part's function."""
    part = next((part for part, its in PARTS.items() if its.function == name), None)
    if part is None:
        return f"the parts are {', '.join(PARTS)}, each given by its name; got {name!r}"
    return f"`{name}` is the part {part}: assemble({part}={name})"


def assembled(
    model: GPT,
    tokenizer: BPETokenizer,
    given: Mapping[str, Any],
    name: str,
    *,
    seconds: float,
    missing: str = "",
    say: Callable[[str], Any] = lambda line: None,
) -> MyModel:
    """As `assemble`, for a given model. Nothing is shown, but `say` gets each finding when it is there."""
    uses = recorded(model, tokenizer)
    judgements = {part: Judgement(part, given=False) for part in PARTS}
    for part in PARTS:
        if part in given:
            judgements[part] = judge(part, given[part], uses[part], seconds)
            if judgements[part].written:
                say(str(judgements[part]))
    ours = library_parts(tokenizer)
    limit = 12 * seconds

    def in_use() -> dict[str, Any]:
        return {part: given[part] if judgements[part].yours else ours[part] for part in PARTS}

    def yours() -> list[str]:
        return [part for part, judged in judgements.items() if judged.yours]

    if yours():
        say("Now together ...")
    together = compared(model, tokenizer, in_use(), limit) if yours() else _of_library(model, tokenizer)
    if yours() and not together.same and not together.late:
        # Each is right by itself: which one is not in the whole?
        alone = {part: compared(model, tokenizer, ours | {part: given[part]}, limit) for part in yours()}
        for part, found in alone.items():
            if not found.same or all(one.same for one in alone.values()):
                said = found.problem or "does it keep something from one call to the next?"
                problem = f"right on each use, but not in the whole: {said}"
                judgements[part] = Judgement(part, problem=problem)
        together = compared(model, tokenizer, in_use(), limit)
    parts = in_use()
    return MyModel(model, tokenizer, name, judgements, parts, together, missing=missing, given=dict(given))


# ------------------------------------------------------------------------------------------------- the models


def _real() -> tuple[GPT, BPETokenizer]:
    """SmolLM2 on the CPU, where a learner's part need not think of devices.

    Raises: MissingModelError: it is not installed.
    """
    model, tokenizer = real_model.smollm2()
    return (model, tokenizer) if model.lm_head.weight.device.type == "cpu" else _on_cpu()


@functools.cache
def _on_cpu() -> tuple[GPT, BPETokenizer]:
    return pretrained.load_smollm2(device=torch.device("cpu"))


@functools.cache
def small_model() -> tuple[GPT, BPETokenizer]:
    """A random model with all that SmolLM2 has: key heads that are shared, a gated MLP, a tied head."""
    texts = "".join(pretrained.chat_prompt(QUESTION) + text for text in TEXTS)
    special = ["<|im_start|>", END]
    tokenizer = BPETokenizer.train(texts, 331, special, split_digits=True)
    config = GPTConfig.llama_style(
        vocab_size=tokenizer.vocab_size,
        max_seq_len=512,
        d_model=60,
        n_layers=3,
        n_heads=6,
        n_kv_heads=2,
        d_ff=53,
        norm_eps=1e-3,
        rotary_base=700.0,
    )
    with repeatable(5):
        model = GPT(config)
        for name, parameter in model.named_parameters():
            # Larger than at the start of a training, so that each part makes a difference.
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("norm.weight") else 0.0, 0.2)
    return model.eval().requires_grad_(False), tokenizer
