"""What SmolLM2 makes of pictures that stand between its words; none of its weights is changed."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import course_lib
from course_lib.bpe import BPETokenizer
from course_lib.data import Examples
from course_lib.decoder import GPT
from course_lib.pretrained import chat_prompt

Chat = tuple[GPT, BPETokenizer]
END = "<|im_end|>"
# One sum is solved before it is asked another; each {} is the place of a picture.
SUM = chat_prompt("What is 3 + 1?") + f"3 + 1 = 4{END}\n<|im_start|>user\nWhat is {{}} + {{}}?{END}\n"
SUM += "<|im_start|>assistant\n"
STORED = Path(course_lib.__file__).with_name("four_patches.safetensors")
# Before and behind the patches, as the stored matrix learned to be read between them.
PROMPTS = ("A digit:{} It is ", "What is{} as a digit? Answer: ")


def reading_matrix(chat: Chat, digits: Examples) -> Tensor:
    """The matrix (65, 576) that brings pictures nearest to their numerals' rows; as the notebook finds it.

    Args:
        chat: the model and its tokenizer.
        digits: pictures of 8 x 8, whose numerals are known.
    """
    table = chat[0].token_embedding.weight.detach()
    a, b = with_one(digits.inputs), table[torch.tensor(chat[1].encode("0123456789"))][digits.targets]
    return torch.linalg.solve(a.T @ a + torch.eye(a.shape[1]), a.T @ b)


def with_one(pictures: Tensor) -> Tensor:
    """The numbers of each picture (N, ...), and a 1."""
    return F.pad(pictures.flatten(1), (0, 1), value=1.0)


def line(chat: Chat, text: str, *pictures: Tensor) -> Tensor:
    """The rows of a text, and where {} stands those of a picture; as the notebook's cell writes it."""
    table = chat[0].token_embedding.weight
    first, *others = (
        table[torch.tensor(chat[1].encode(part), dtype=torch.long)] for part in text.split("{}")
    )
    rows = [first]
    for picture, words in zip(pictures, others, strict=True):
        rows += [picture.reshape(-1, table.shape[1]), words]
    return torch.cat(rows)


@torch.no_grad()
def says(chat: Chat, lines: Sequence[Tensor], n_tokens: int = 8) -> list[str]:
    """What the model writes behind each of some lines, up to the end of its turn.

    Args:
        chat: the model and its tokenizer.
        lines: rows (T, 576) that enter the model, all equally many.
        n_tokens: at most, the likeliest each time.
    """
    model, tokenizer = chat
    rows = torch.stack(list(lines))
    cache = model.new_cache(len(rows), capacity=rows.shape[1] + n_tokens)
    hidden, written = model.stack(rows, cache=cache), []
    for _ in range(n_tokens):
        written.append(model.lm_head(hidden[:, -1]).argmax(-1))
        hidden = model.stack(model.token_embedding(written[-1][:, None]), cache=cache)
    return [tokenizer.decode(row).split(END)[0] for row in torch.stack(written, 1).tolist()]


@torch.no_grad()
def next_tokens(chat: Chat, lines: Tensor) -> Tensor:
    """The likeliest next token behind each of some lines (B, T, 576)."""
    model, _ = chat
    return torch.cat([model.lm_head(model.stack(some)[:, -1]).argmax(-1) for some in lines.split(60)])


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """For each vector the row of a table that points most nearly the same way: its number."""
    return (F.normalize(vectors, dim=1) @ F.normalize(table, dim=1).T).argmax(1)


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Images (N, 1, height, width) moved over white paper; what leaves the sheet is lost."""
    height, width = images.shape[2:]
    room = max(abs(down), abs(right))
    paper = F.pad(images, (room, room, room, room))
    return paper[:, :, room - down : room - down + height, room - right : room - right + width]


def sums(digits: Examples) -> list[tuple[int, int, Tensor, Tensor]]:
    """The 36 sums of two numbers from 1 whose result has one digit, each with two pictures of its own."""
    left = {digit: iter((digits.targets == digit).nonzero()[:, 0].tolist()) for digit in range(1, 9)}
    return [
        (a, b, digits.inputs[next(left[a])], digits.inputs[next(left[b])])
        for a in range(1, 9)
        for b in range(1, 10 - a)
    ]


def sum_in(text: str) -> tuple[int, int, int] | None:
    """The three numbers of a text such as 2 + 5 = 7, if it is one."""
    found = re.fullmatch(r"(\d+) \+ (\d+) = (\d+)\.?", text.strip())
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def four_patches(path: Path = STORED) -> tuple[Tensor, Tensor]:
    """A matrix (16, 576) and what is added to each product (576), stored by tools/store_four_patches.py."""
    stored = load_file(path)
    return stored["matrix"], stored["shift"]
