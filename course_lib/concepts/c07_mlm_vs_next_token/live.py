"""What notebook 07 shows live with real models, besides its experiments: gaps, and what fills them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml
from torch import Generator, Tensor, nn

from course_lib import readers
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c07_mlm_vs_next_token import experiments
from course_lib.concepts.c07_mlm_vs_next_token.tasks.sampler_at_work import reads_on
from course_lib.decoder import GPT
from course_lib.device import one_core
from course_lib.objectives import token_loss, token_losses
from course_lib.readers import GAP, MASK_ID, Filler

__all__ = ["GAPS", "behind", "both_ways", "changed", "contest", "reads_on", "three_places"]

GAPS: list[tuple[str, str, str]] = [
    (left, word, right)
    for left, word, right in yaml.safe_load(Path(__file__).with_name("gaps.yml").read_text("utf-8"))
]


def behind(right: str) -> str:
    """The right side as it stands in the text: a space before it, unless it begins with a mark.

    Example:
        >>> behind("is Paris."), behind(", not five.")
        (' is Paris.', ', not five.')
    """
    return right if right[:1] in (",", ".") else " " + right


LEFT, TRYING, FILLING, JUDGED = (
    "from the left",
    "by trying 50",
    "the filler",
    "the filler proposes 10, the writer judges",
)
N_OWN, N_PROPOSED = 50, 10
Chat = tuple[GPT, BPETokenizer]


@torch.no_grad()
def contest(chat: Chat, gaps: Sequence[tuple[str, str, str]] = GAPS) -> dict[str, tuple[int, int]]:
    """Who fills gaps best? By way the gaps that are filled rightly, and with the right word among five.

    Rows begin with the token of a start, for all ways alike.

    Args:
        chat: SmolLM2 and its tokenizer.
        gaps: left side, word, right side.
    """
    model, tokenizer = chat
    filling = Filler(model)
    found = {way: [0, 0] for way in (LEFT, TRYING, FILLING, JUDGED)}
    for left, word, right in gaps:
        before, behind_it = [0, *tokenizer.encode(left)], tokenizer.encode(behind(right))
        (answer,) = tokenizer.encode(" " + word)
        ahead = model.next_token_logits(torch.tensor([before]))[0]
        ids = torch.tensor([[*before[1:], 0, *behind_it]])  # the filler puts the start there by itself
        place = torch.tensor([len(before) - 1])
        seen = filling(ids, torch.arange(ids.shape[1])[None] == place, place)[0]
        own, proposed = ahead.topk(N_OWN).indices, seen.topk(N_PROPOSED).indices
        orders = {
            LEFT: own,
            TRYING: own[_as_sentences(model, before, own, behind_it)],
            FILLING: proposed,
            JUDGED: proposed[_as_sentences(model, before, proposed, behind_it)],
        }
        for way, order in orders.items():
            found[way][0] += int(order[0] == answer)
            found[way][1] += int((order[:5] == answer).any())
    return {way: (first, five) for way, (first, five) in found.items()}


def _as_sentences(model: GPT, before: list[int], tried: Tensor, after: list[int]) -> Tensor:
    """The order of what is tried, the likeliest whole sentence first."""
    n = len(tried)
    parts = (torch.tensor(before).expand(n, -1), tried[:, None], torch.tensor(after).expand(n, -1))
    rows = torch.cat(parts, dim=1)
    return token_losses(model(rows[:, :-1]), rows[:, 1:]).view(n, -1).sum(1).argsort()


# ------------------------------------------------------------------------------------------ the small readers


@one_core()
def three_places(
    recipe: Callable[[Tensor, int, int, list[int], Generator], tuple[Tensor, Tensor]], steps: int = 70
) -> tuple[float, float, float]:
    """Bits at a gap, where the right character stands and where a wrong one does, of a reader of both sides.

    Args:
        recipe: hides, as the task `mask_tokens`; the reader learns from what it makes.
        steps: of training.
    """
    random = Generator().manual_seed(0)

    def loss(model: GPT, ids: Tensor) -> Tensor:
        inputs, targets = recipe(ids, MASK_ID, MASK_ID + 1, [], random)
        return token_loss(model(inputs), targets)

    reader = experiments.learn(readers.make_reader(causal=False, seed=0), 0, steps, loss)
    pieces = experiments.held_out(0)
    right = pieces[:, GAP]
    wrong = (right + torch.randint(1, MASK_ID, right.shape, generator=Generator().manual_seed(0))) % MASK_ID
    scores = [experiments.in_the_middle(reader, pieces, put) for put in (MASK_ID, right, wrong)]
    hidden, seen, mistaken = (token_losses(each, right).mean().item() / math.log(2) for each in scores)
    return hidden, seen, mistaken


@torch.no_grad()
def changed(model: GPT, ids: Tensor) -> float:
    """The share of earlier places (all but the last) whose output changes, in any bit, with the last token.

    Args:
        model: a reader of characters.
        ids: (B, T), the texts.
    """
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % MASK_ID
    return (model(ids) != model(other))[:, :-1].any(-1).float().mean().item()


@torch.no_grad()
def both_ways(model: GPT, ids: Tensor, n: int) -> tuple[float, int]:
    """Write n tokens without a cache and with one: how many times fewer are read, and how many are others.

    Args:
        model: causal.
        ids: (B, T), the beginnings.
        n: how many tokens.
    """
    passed: list[int] = []

    def count(block: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        passed.append(args[0].shape[1])

    hook = model.stack.blocks[0].register_forward_hook(count)
    read, texts = [], []
    for cache in (None, model.new_cache(len(ids))):
        text = unread = ids
        for _ in range(n):
            token = model.next_token_logits(unread, cache).argmax(-1, keepdim=True)
            text = torch.cat([text, token], dim=1)
            unread = text if cache is None else token
        read.append(sum(passed))
        passed.clear()
        texts.append(text)
    hook.remove()
    return read[0] / read[1], int((texts[0] != texts[1]).sum())
