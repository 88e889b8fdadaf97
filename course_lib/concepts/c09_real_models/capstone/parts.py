"""SmolLM2 as ten functions compute it: `Assembled` is the model with any ten.

Its weights, the tables of its tokenizer, and the loop that writes are here; all steps are the parts'.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import generation, positions, pretrained
from course_lib.attention import scaled_dot_product_attention
from course_lib.bpe import BPETokenizer
from course_lib.checks import forms, real_model, tasks
from course_lib.checks.values import WrongForm, copied, numbers_of
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS
from course_lib.concepts.c09_real_models.tasks.forward_pass import forward_pass
from course_lib.decoder import GPT

Tensor = torch.Tensor
Stored = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (1, G, S, K)
Parts = Mapping[str, Callable[..., Any]]

QUESTION = real_model.QUESTION
STORY = "Begin a story about a cat who learns to read."
N_LIKELIEST = 2000  # tokens that a sampler chooses from: it may be a slow loop, or compare all with all
END = "<|im_end|>"


# ---------------------------------------------------------------------------------------- the course's parts


def library_parts(tokenizer: BPETokenizer) -> dict[str, Callable[..., Any]]:
    """The ten parts as the course has them, with the arguments that the learner's get."""

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
        "forward": forward_pass,
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


class Weights(dict[str, Any]):
    """The numbers of a model, as `forward_pass` gets them."""

    def copied(self) -> "Weights":
        """The same in memory of its own, for a function that may write into it."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"the weights of {len(self['layers'])} layers"


# What the weights of a layer are called there, and in our `GPT`.
IN_A_LAYER = {
    "norm_1": "attention_norm",
    "q_proj": "attention.q_proj",
    "k_proj": "attention.k_proj",
    "v_proj": "attention.v_proj",
    "out_proj": "attention.out_proj",
    "norm_2": "feed_forward_norm",
    "gate_proj": "feed_forward.gate_proj",
    "up_proj": "feed_forward.up_proj",
    "down_proj": "feed_forward.down_proj",
}


def weights_of(model: GPT) -> Weights:
    """The numbers of a Llama-style `GPT`; nothing is copied."""
    rotary: Any = model.rotary
    norm: Any = model.stack.final_norm
    ours = model.state_dict()
    return Weights(
        table=ours["token_embedding.weight"],
        layers=[
            {name: ours[f"stack.blocks.{i}.{its}.weight"] for name, its in IN_A_LAYER.items()}
            for i in range(model.config.n_layers)
        ],
        final_norm=ours["stack.final_norm.weight"],
        eps=norm.eps,
        base=rotary.base,
    )


class Assembled:
    """A Llama-style `GPT` as ten functions compute it: its weights, their steps.

    Args:
        model: on the CPU, in float32.
        tokenizer: its tables.
        parts: the ten functions by name, see `taking_along.PARTS`.
    """

    def __init__(self, model: GPT, tokenizer: BPETokenizer, parts: Parts) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.parts = parts
        self.tables = real_model.tables_of(tokenizer)
        self.weights = weights_of(model)
        names = ("rms_norm", "rotation", "cache", "attention", "mlp", "block")
        inner = {part: functools.partial(self.use_named, part) for part in names}
        self.inner = SimpleNamespace(embedding=self.embed, **inner)  # those that `forward_pass` calls

    def use(self, part: str, *given: Any) -> Any:
        """Call one of the ten. All calls come by here, so that a subclass can look on."""
        return self.parts[part](*given)

    def use_named(self, part: str, *given: Any, **named: Any) -> Any:
        """The same for who names the arguments."""
        if named:
            given = inspect.signature(tasks.exercise(PARTS[part].task).answer).bind(*given, **named).args
        return self.use(part, *given)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids = self.use("tokenizer", self.tokenizer.words(text), *self.tables)
        return list(forms.contents(ids)["result"].item())

    def embed(self, token_ids: Any, table: Tensor) -> Tensor:
        """The embedding, whose exercise is NumPy's."""
        rows = table.numpy()
        rows.flags.writeable = False  # the view's, not the model's: too large to be copied for each use
        return as_vectors(self.use("embedding", np.asarray(token_ids), rows))

    def read(self, ids: Sequence[int], stored: Stored | None = None) -> tuple[Tensor, Stored]:
        """Read some tokens after those that are stored.

        Returns: the logits (T, V) of what follows each, and the keys and values of all tokens so far.
        """
        stored = self.empty_cache() if stored is None else stored
        logits, stored = self.use("forward", torch.tensor([ids]), self.weights, self.inner, stored)
        return logits[0], stored

    def empty_cache(self) -> Stored:
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
        chances = torch.as_tensor(self.use("sampler", logits[likeliest], t, p))
        return int(likeliest[torch.multinomial(chances, 1, generator=generator)])


class Lending(Assembled):
    """The same, but each part gets copies: one with a fault may write into what it gets."""

    def __init__(self, model: GPT, tokenizer: BPETokenizer, parts: Parts) -> None:
        super().__init__(model, tokenizer, parts)
        if parts["forward"] is not forward_pass:
            self.weights = self.weights.copied()  # once, as they are large

    def use(self, part: str, *given: Any) -> Any:
        return super().use(part, *(it if it is self.weights else lent(it) for it in given))


def lent(value: Any) -> Any:
    """A copy, unless nobody can write into it; of a tokenizer's tables not their entries too."""
    if isinstance(value, Weights):
        return value.copied()
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


def places_of_likeliest(logits: Tensor) -> Tensor:
    """The ids of the likeliest tokens, in the order of the vocabulary."""
    return logits.topk(min(N_LIKELIEST, len(logits))).indices.sort().values


def read_smollm2() -> tuple[Any, ...]:
    """What SmolLM2's file holds, for a program of the learner's.

    Returns: a function that cuts a text into words; the tables of `tokenizer_at_work`; the bytes of each
        token by its id; the weights of `forward_pass`; the keys and values of no token.
    Raises: MissingModelError: it is not installed.
    """
    model, tokenizer = pretrained.load_smollm2(device=torch.device("cpu"))
    ranks, ids, special = real_model.tables_of(tokenizer)
    token_of = {i: token for token, i in ids.items()} | {i: word.encode() for word, i in special.items()}
    empty_cache = Assembled(model, tokenizer, {}).empty_cache()
    return tokenizer.words, (ranks, ids, special), token_of, weights_of(model), empty_cache
