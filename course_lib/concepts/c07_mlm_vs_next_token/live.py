"""What notebook 07 shows live with real models, besides its experiments: gaps, and what fills them."""

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT
from course_lib.objectives import token_losses
from course_lib.readers import Filler

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


LEFT, TRYING, FILLING, JUDGED = "from the left", "by trying 50", "the filler", "the filler proposes 10, the writer judges"
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
