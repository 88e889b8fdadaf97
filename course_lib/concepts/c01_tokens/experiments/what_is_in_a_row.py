"""What a row of the table holds: who is mute, what may be read from a row, how rows come about."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from course_lib import data
from course_lib.bpe import BPETokenizer, WordPiece, byte_characters
from course_lib.decoder import GPT
from course_lib.encoder import BERT
from course_lib.generation import generate
from course_lib.pretrained import chat_prompt
from course_lib.training import bar

Chat = tuple[GPT, BPETokenizer]
STORY = 'Tell me a story about "{}".'
END = "<|im_end|>"
PLACE = "\ue000"  # no text has it: here something is put in by hand
KINDS = {"an animal": "animal creature cat dog bird", "a city": "city town place country village"}
KINDS |= {"food": "food dish soup meal cheese"}


# ------------------------------------------------------------------------------------------ what it says


def written(chat: Chat, ids: Sequence[int], n_tokens: int) -> str:
    """What the model writes behind some tokens."""
    rows = torch.tensor([list(ids)], device=chat[0].token_embedding.weight.device)
    return chat[1].decode(generate(chat[0], rows, n_tokens)[0, len(ids) :].tolist())


def goes_on(chat: Chat, text: str, n_tokens: int) -> str:
    """How the model goes on with a text."""
    return written(chat, chat[1].encode(text), n_tokens)


def answer(
    chat: Chat,
    question: str,
    n_tokens: int = 30,
    *,
    stop: bool = True,
    encode: Callable[[str], list[int]] | None = None,
) -> str:
    """What the chat model answers.

    Args:
        chat: the model and its tokenizer.
        question: what it is asked.
        n_tokens: of the answer, at most.
        stop: at the mark that ends its turn; else it goes on.
        encode: cuts the question in place of the tokenizer.
    """
    before, after = _around(chat, PLACE)
    ids = chat[1].encode(chat_prompt(question)) if encode is None else [*before, *encode(question), *after]
    said = written(chat, ids, n_tokens)
    return said.split(END)[0] if stop else said


def _around(chat: Chat, question: str) -> tuple[list[int], list[int]]:
    """The tokens of the conversation before and after the place in a question."""
    before, after = map(chat[1].encode, chat_prompt(question).split(PLACE))
    return before, after


def story_about(chat: Chat, tokens: Sequence[int], n_tokens: int = 16) -> str:
    """The story about a name whose tokens are set by hand."""
    before, after = _around(chat, STORY.format(PLACE))
    return written(chat, [*before, *tokens, *after], n_tokens).split(END)[0]


def silent(chat: Chat, tokens: Sequence[int]) -> int:
    """About how many of some tokens, each a name, there is no story: the turn ends in its place."""
    before, after = _around(chat, STORY.format(PLACE))
    prompts = [[*before, token, *after] for token in tokens]
    rows = torch.tensor(prompts, device=chat[0].token_embedding.weight.device)
    new = generate(chat[0], rows, 6)[:, len(prompts[0]) :].tolist()
    return sum(END in chat[1].decode(row) for row in new)


def learned_next(tokenizer: BPETokenizer, tokens: Sequence[int]) -> list[int]:
    """For each of some tokens the plain word that the tokenizer learned next."""
    found: list[int] = []
    for token in tokens:
        text = ""
        while not (len(text) >= 5 and text.isascii() and text.isalpha()) or token in (*found, *tokens):
            token += 1
            text = tokenizer.decode([token])
        found.append(token)
    return found


def kinds(chat: Chat, name: str) -> dict[str, float]:
    """How likely the model thinks that a name is an animal, a city or food: chances of five words each."""
    model, tokenizer = chat
    ids = torch.tensor([tokenizer.encode(f'We all love "{name}". It is a')])
    with torch.no_grad():
        chances = model(ids.to(model.token_embedding.weight.device))[0, -1].softmax(-1)
    return {
        kind: sum(chances[tokenizer.encode(" " + word)[0]].item() for word in words.split())
        for kind, words in KINDS.items()
    }


@contextmanager
def table_kept(model: Any) -> Iterator[Tensor]:
    """Inside, the rows of a model's table may be changed; afterwards they are what they were."""
    table = model.token_embedding.weight.data
    before = table.clone()
    try:
        yield table
    finally:
        table.copy_(before)


@contextmanager
def row_lent(model: Any, token: int, row: Tensor, *, where: str) -> Iterator[None]:
    """Inside, a token has another row, but only in one of the two places where rows are used.

    Args:
        model: whose table is used in both.
        token: its number.
        row: which it has there.
        where: "read", where the row enters the model, or "written", where it scores what comes next.
    Raises: ValueError: another place.
    """

    def read(module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return torch.where((inputs[0] == token)[..., None], row, output)

    def scored(module: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        scores = output.clone()
        scores[..., token] = inputs[0] @ row
        return scores

    if where not in ("read", "written"):
        raise ValueError(f'a row is used where it is "read" or "written"; got {where!r}')
    part, change = (model.token_embedding, read) if where == "read" else (model.lm_head, scored)
    hook = part.register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


# ------------------------------------------------------------------------------------------ tokens


def as_bytes(text: str, tokenizer: BPETokenizer | None = None) -> list[list[str]]:
    """The words of a text, each as a list of its bytes: a sign for each, Ġ for a space."""
    signs = byte_characters()
    tokenizer = tokenizer or BPETokenizer(list(signs.values()), [])
    return [[signs[byte] for byte in word.encode()] for word in tokenizer.words(text)]


def with_merges(tokenizer: BPETokenizer, n: int) -> BPETokenizer:
    """The same tokens by the same numbers, but only the first n merges are made."""
    return BPETokenizer(
        tokenizer.tokens,
        tokenizer.merges[:n],
        tokenizer.special_tokens,
        split_digits=tokenizer.split_digits,
        pattern=tokenizer.pattern,
    )


# -------------------------------------------------------------------------------------- how rows come about


@dataclass(frozen=True)
class HalfRead:
    """A text in the tokens of a tokenizer that has read more.

    Args:
        tokenizer: learned from Python's help pages and from reviews.
        pairs: of the help pages alone (N, 2): a token, and the one that follows.
        never, often: tokens that do not occur in them, and those that occur more than 200 times.
    """

    tokenizer: BPETokenizer
    pairs: Tensor
    never: Tensor
    often: Tensor


def half_read() -> HalfRead:
    """The tokenizer has read two texts, and its model will read one."""
    pages = "\n".join(data.python_topics().values())
    reviews = "\n".join(review.text for side in data.reviews() for review in side)
    tokenizer = BPETokenizer.train([pages, reviews * 4], 2048)
    ids = torch.tensor(tokenizer.encode(pages))
    count = torch.bincount(ids, minlength=2048)
    pairs = torch.stack([ids[:-1], ids[1:]], dim=1)
    return HalfRead(tokenizer, pairs, (count == 0).nonzero()[:, 0], (count > 200).nonzero()[:, 0])


def alike(rows: Tensor) -> float:
    """The mean cosine of two of the rows."""
    unit = F.normalize(rows.detach(), dim=1)
    n = len(unit)
    return ((unit @ unit.T).sum().item() - n) / (n * (n - 1))


def nearest(rows: Tensor, token: int, among: Tensor, n: int = 4) -> list[int]:
    """The tokens among some whose rows point most nearly the same way, without what all have in common."""
    rows = rows.detach()
    centred = F.normalize(rows - rows[among].mean(0), dim=1)
    near = (centred[among] @ centred[token]).argsort(descending=True)
    return [int(i) for i in among[near] if i != token][:n]


def next_words(net: Any, pairs: Tensor, steps: int = 400, rate: float = 0.02) -> None:
    """Train a model of the next token on pairs (N, 2), 512 at a time; as a cell of the notebook does."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in bar(range(steps), "training"):
        token, following = pairs[torch.randint(len(pairs), (512,))].T
        optimizer.zero_grad()
        F.cross_entropy(net(token), following).backward()
        optimizer.step()


# ------------------------------------------------------------------------------------------ rows of their own


@dataclass(frozen=True)
class OwnRows:
    """How far each token has a row of its own.

    Args:
        difference: between rows looked up and rows multiplied, at most.
        twins: tokens of SmolLM2's that stand for text and point as <file_sep> does: cosines above .99.
        copies, elsewhere: rows of its table, and of MiniLM's, that are equal to another.
    """

    difference: float
    twins: int
    copies: int
    elsewhere: int


def own_rows(chat: Chat, reader: tuple[BERT, WordPiece]) -> OwnRows:
    """Is each row of a table another one?

    Args:
        chat, reader: SmolLM2 and MiniLM, with their tokenizers.
    """
    tables = [model.token_embedding.weight.detach() for model, _ in (chat, reader)]
    special = chat[1].special_tokens
    unit = F.normalize(tables[0], dim=1)
    near = (unit @ unit[special["<file_sep>"]] > 0.99).nonzero()[:, 0].tolist()
    ids = torch.tensor(chat[1].encode("strawberry ice"), device=tables[0].device)
    multiplied = F.one_hot(ids, len(tables[0])).to(tables[0].dtype) @ tables[0]
    times = [table.unique(dim=0, return_counts=True)[1] for table in tables]
    copies, elsewhere = (int(n[n > 1].sum()) for n in times)
    difference = (tables[0][ids] - multiplied).abs().max().item()
    return OwnRows(difference, len({*near} - {*special.values()}), copies, elsewhere)


# ------------------------------------------------------------------------------------------ what rows know


def plain_words(tokenizer: BPETokenizer) -> dict[str, int]:
    """The tokens that are a word of four small letters or more, behind a space."""
    decoded = ((i, tokenizer.decode([i])) for i in range(tokenizer.vocab_size))
    return {text[1:]: i for i, text in decoded if re.fullmatch(" [a-z]{4,}", text)}


@dataclass(frozen=True)
class LettersRead:
    """How often a letter can be read from a row.

    Args:
        right: by place, the share of words.
        commonest: the same if one always says the commonest letter of that place.
        n: how many words are tested.
    """

    right: dict[str, float]
    commonest: dict[str, float]
    n: int


def letters_in_rows(chat: Chat, seed: int = 0) -> LettersRead:
    """Can a matrix tell the letters of a word from its row?

    It is found by least squares. Words that are tested begin with three letters as no other word does.

    Args:
        chat: the model and its tokenizer.
        seed: of the words that are tested.
    """
    found = plain_words(chat[1])
    family = np.array([word[:3] for word in found])
    names = np.unique(family)
    tested = np.isin(family, np.random.default_rng(seed).permutation(names)[: len(names) // 8])
    rows = chat[0].token_embedding.weight.detach().cpu().numpy()[list(found.values())]
    rows = rows - rows.mean(0)
    right, commonest = {}, {}
    for name, place in {"first": 0, "second": 1, "third": 2, "last": -1}.items():
        letter = np.array([ord(word[place]) - 97 for word in found])
        hot = np.eye(26)[letter]
        mean = hot[~tested].mean(0)
        matrix = np.linalg.lstsq(rows[~tested], hot[~tested] - mean, rcond=None)[0]
        right[name] = float(((rows[tested] @ matrix + mean).argmax(1) == letter[tested]).mean())
        commonest[name] = float(np.bincount(letter[tested]).max() / tested.sum())
    return LettersRead(right, commonest, int(tested.sum()))


@dataclass(frozen=True)
class Spelled:
    """What the model makes of words that it shall spell.

    Args:
        said: for each word what it wrote.
        places: the share with the right letter at the first place, the second, the third, the fourth.
        whole: how many are right to the end.
    """

    said: dict[str, str]
    places: list[float]
    whole: int


def spelled(chat: Chat, words: Sequence[str], *, in_sight: bool = False) -> Spelled:
    """Let the model spell some words, after two examples.

    Args:
        chat: the model and its tokenizer.
        words: of which each is one token behind a space.
        in_sight: the word stands there letter by letter already.
    """
    examples = ("garden", "window")
    shown = {word: " ".join(word) if in_sight else word for word in (*examples, *words)}
    before = "".join(f"{shown[word]} -> {' '.join(word)}, " for word in examples)
    prompts = {word: chat[1].encode(f"{before}{shown[word]} ->") for word in words}
    said = dict.fromkeys(words, "")
    for length in sorted({len(ids) for ids in prompts.values()}):  # those of one length at once
        at_once = [word for word in words if len(prompts[word]) == length]
        rows = torch.tensor([prompts[word] for word in at_once], device=chat[0].token_embedding.weight.device)
        for word, row in zip(at_once, generate(chat[0], rows, 12)[:, length:].tolist(), strict=True):
            said[word] = chat[1].decode(row).strip().split(",")[0]
    letters = {word: text.split() for word, text in said.items()}
    places = [float(np.mean([letters[word][k : k + 1] == [word[k]] for word in words])) for k in range(4)]
    return Spelled(said, places, sum(letters[word] == list(word) for word in words))


def words_to_spell(tokenizer: BPETokenizer, n: int = 20, seed: int = 2) -> list[str]:
    """Words of five to eight letters, drawn at random."""
    drawn = random.Random(seed).sample(list(plain_words(tokenizer)), 20 * n)
    return [word for word in drawn if 5 <= len(word) <= 8][:n]


def years(reader: tuple[BERT, WordPiece]) -> tuple[list[int], NDArray, list[int]]:
    """The years that a table has rows for, these rows, and their numbers in the table."""
    row_of = {token: i for i, token in enumerate(reader[1].tokens)}
    found = [year for year in range(1700, 2022) if str(year) in row_of]
    at = [row_of[str(year)] for year in found]
    return found, reader[0].token_embedding.weight.detach().cpu().numpy()[at], at


def years_apart(found: Sequence[int], rows: NDArray, numbers: Sequence[int]) -> tuple[float, float]:
    """How many years away is the year whose row is nearest, and the one whose number is (medians)?

    Args:
        found, rows, numbers: as `years` gives them.
    """
    unit = rows - rows.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    apart = -unit @ unit.T
    by_number = np.abs(np.subtract.outer(numbers, numbers)).astype(float)
    own = np.array(found)
    nearest = []
    for distance in (apart, by_number):
        np.fill_diagonal(distance, np.inf)
        nearest.append(float(np.median(np.abs(own[distance.argmin(1)] - own))))
    return nearest[0], nearest[1]
