"""SmolLM2 as nine functions compute it, and what goes into each of them and comes out.

`Assembled` is the model with any nine. `Recorder` is the same with the library's, and keeps what went into
each and came out, so that a part of the learner's is judged on the library's own inputs: a fault shows where
it is, not further down.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import generation, positions, pretrained
from course_lib.attention import causal_mask, scaled_dot_product_attention
from course_lib.bpe import BPETokenizer
from course_lib.checks import forms, real_model
from course_lib.checks.guard import clean_state
from course_lib.checks.inputs import repeatable
from course_lib.checks.values import WrongForm, copied, named, numbers_of
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS
from course_lib.decoder import GPT, LlamaConfig

Tensor = torch.Tensor
Stored = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (1, G, S, K)
Parts = Mapping[str, Callable[..., Any]]

QUESTION = real_model.QUESTION
N_LIKELIEST = 2000  # tokens that a sampler chooses from: it may be a slow loop, or compare all with all
FAR = 1000  # a place that no prompt here reaches
END = "<|im_end|>"
# As a share of the largest number of a vector. Correct ways differ by rounding alone, less than 1e-5 of it.
FURTHEST = 1e-4
# By so much more for each place: an angle of 1,000 radians has three digits less after the point.
FURTHER = 1e-6


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
        self.tables = real_model.tables_of(tokenizer)

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
        norm = model.stack.final_norm
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


class Lending(Assembled):
    """The same, but each part gets copies: one with a fault may write into what it gets."""

    def use(self, part: str, where: str, *given: Any) -> Any:
        return super().use(part, where, *map(lent, given))


def lent(value: Any) -> Any:
    """A copy, unless nobody can write into it; of a tokenizer's tables not their entries too."""
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return value
    return dict(value) if isinstance(value, dict) else copied(value)


class WrongKind(WrongForm):
    """The result is no tensor in float32."""


def as_vectors(value: Any) -> Tensor:
    """What an embedding gave, in float32. Its exercise is NumPy's, so float64, lists and tensors will do.

    Raises: WrongKind: it is not made of numbers.
    """
    try:
        return torch.from_numpy(numbers_of(value, tensor=False).astype(np.float32))
    except WrongForm as error:
        raise WrongKind(str(error)) from None


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
# Whatever pair is merged first in these, the leftmost, the longest, the commonest, the last: all differ.
LONG_WORDS = "internationalisation antidisestablishmentarianism"


@functools.lru_cache(maxsize=2)
def recorded(model: GPT, tokenizer: BPETokenizer) -> dict[str, list[Use]]:
    """What goes into each part and comes out of it: a prompt, then one token and several, and one alone.

    A rotation is used at a far place too, a sampler at several temperatures.
    """
    recorder = Recorder(model, tokenizer)
    with torch.no_grad(), clean_state():
        recorder.reading = "a text"
        prompt = recorder.encode(pretrained.chat_prompt(QUESTION))
        for text in (LONG_WORDS, *TEXTS):
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


# ----------------------------------------------------------------------------------------- in SmolLM2's place


@functools.cache
def small_model() -> tuple[GPT, BPETokenizer]:
    """A random model with all that SmolLM2 has: key heads that are shared, a gated MLP, a tied head."""
    texts = "".join(pretrained.chat_prompt(QUESTION) + text for text in TEXTS)
    special = ["<|im_start|>", END]
    tokenizer = BPETokenizer.train(texts, 331, special, split_digits=True)
    config = LlamaConfig(
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
