"""What goes into each of the ten parts in the model, and what comes out of the course's.

`recorded` lets the model read with the course's parts. A part of the learner's is judged on what the
course's got there, so that a fault shows where it is, not further down.
"""

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from course_lib import pretrained
from course_lib.bpe import BPETokenizer
from course_lib.checks.guard import clean_state
from course_lib.checks.inputs import repeatable
from course_lib.checks.values import named
from course_lib.concepts.c09_real_models.capstone.parts import (
    END,
    QUESTION,
    Assembled,
    library_parts,
    places_of_likeliest,
    rotate,
)
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS
from course_lib.decoder import GPT, LlamaConfig

Tensor = torch.Tensor

FAR = 1000  # a place that no prompt here reaches
# As a share of the largest number of a vector. Correct ways differ by rounding alone, less than 1e-5 of it.
FURTHEST = 1e-4
# By so much more for each place: an angle of 1,000 radians has three digits less after the point.
FURTHER = 1e-6


@dataclass(frozen=True)
class Use:
    """One use of a part in the model: where, what went in, what came out of the course's."""

    part: str
    where: str
    given: tuple[Any, ...]
    right: Any
    furthest: float = FURTHEST


# Where a part is used in a layer, where that is more than once.
TWICE = {"rms_norm": ("before attention", "before the MLP"), "rotation": ("the queries", "the keys")}


class Recorder(Assembled):
    """The model with the course's parts, which keeps every use of each part."""

    def __init__(self, model: GPT, tokenizer: BPETokenizer) -> None:
        super().__init__(model, tokenizer, library_parts(tokenizer))
        self.uses: dict[str, list[Use]] = {part: [] for part in PARTS}
        self.reading = ""  # what is read just now; nothing is kept while it is empty
        self.n_uses = Counter[str]()

    def use(self, part: str, *given: Any) -> Any:
        if not self.reading:  # a layer that is used again calls these parts
            return super().use(part, *given)
        where = self.place(part, given)
        right = super().use(part, *given)
        if part == "forward":  # its layers, used again, write into these lists
            given, right = (*given[:-1], list(given[-1])), (right[0], list(right[1]))
        self.uses[part].append(Use(part, where, given, right))
        return right

    def place(self, part: str, given: tuple[Any, ...]) -> str:
        """Where a part is used just now, told from how often it was used in this reading."""
        if part == "tokenizer":
            return named("".join(given[0]), 40)
        if part == "forward":
            self.n_uses.clear()
            return self.reading
        in_layer = TWICE.get(part, ("",))
        layer, which = divmod(self.n_uses[part], len(in_layer))
        self.n_uses[part] += 1
        where = f"layer {layer}" + f", {in_layer[which]}" * bool(in_layer[which])
        if part == "embedding":
            where = "the tokens"
        elif layer == self.model.config.n_layers:
            where = "after the last layer"
        return f"{where}, {self.reading}"


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
        recorder.reading = ""
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
