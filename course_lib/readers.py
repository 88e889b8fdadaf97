"""Two readers of one text with the same body: one sees what came before, the other sees both sides.

Characters of Python's language reference, two layers. One is asked at every place for the next character
(as GPT), the other for the 15 % that were hidden (as BERT). Trained for longer than a notebook may take, both
stand in files beside this module, which `tools/store_readers.py` made.

And a large one: SmolLM2 was asked for the next token; `filler` makes of it, for a while, a model that was
asked for hidden ones.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.data import python_topics, windows
from course_lib.decoder import GPT, LlamaConfig
from course_lib.device import seeded
from course_lib.objectives import mask_tokens, shift, token_loss, token_losses
from course_lib.training import History, TrainingConfig, train

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
MASK_ID = len(ALPHABET)
CONTEXT = 32  # characters that are read at once
GAP = CONTEXT - 1  # where the gap is in a piece of text: so many characters stand on either side
STEPS = 3000  # of the stored readers
KINDS = {"before": True, "both": False}  # what each sees, and whether that is causal
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_FOLDER = Path(__file__).parent
FILLER = _FOLDER / "filler.safetensors"
_BOTH_SIDES = slice(GAP - CONTEXT // 2, GAP + CONTEXT // 2)  # what a reader of both sides sees of a piece


def encode(text: str) -> Int[Tensor, " N"]:
    """The numbers of a text's characters; what is not in `ALPHABET` is left out.

    Args:
        text: any.
    Example:
        >>> encode("a°b").tolist()
        [66, 67]
    """
    places = (ALPHABET.find(character) for character in text)
    return torch.tensor([place for place in places if place >= 0], dtype=torch.long)


def decode(ids: Int[Tensor, " N"]) -> str:
    """The text of these numbers, with `▢` where a character is hidden.

    Args:
        ids: numbers from 0 to `MASK_ID`.
    Example:
        >>> decode(torch.tensor([66, MASK_ID, 67]))
        'a▢b'
    """
    return "".join((ALPHABET + "▢")[number] for number in ids.tolist())


def texts() -> tuple[Int[Tensor, " N"], Int[Tensor, " M"]]:
    """What the readers learn from, and the last tenth, which is held out.

    Example:
        >>> learned, held_out = texts()
        >>> round(len(learned) / len(held_out))
        9
    """
    ids = encode("\n".join(python_topics().values()))
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:]


def pieces(ids: Int[Tensor, " N"], n: int, generator: Generator | None = None) -> Int[Tensor, "n 63"]:
    """Pieces of text around a gap, which is at place `GAP` and not yet hidden.

    Args:
        ids: the text.
        n: how many pieces.
        generator: to draw their places from; None: torch's own.
    Example:
        >>> pieces(torch.arange(100), 5).shape
        torch.Size([5, 63])
    """
    return next(windows(ids, 2 * GAP, n, generator))


def make_reader(*, causal: bool, seed: int) -> GPT:
    """The body, not yet trained: two layers of width 64, four heads, the same weights for either reader.

    Args:
        causal: whether it sees only what came before.
        seed: of the weights; torch's own random numbers go on as if nothing had been drawn.
    Example:
        >>> is_causal(make_reader(causal=False, seed=0))
        False
    """
    config = LlamaConfig(len(ALPHABET) + 1, CONTEXT, d_model=64, n_layers=2, n_heads=4)
    with seeded(seed):
        model = GPT(config)
    for layer in _attentions(model):
        layer.causal = causal
    return model


def is_causal(model: GPT) -> bool:
    """Whether this reader sees only what came before.

    Args:
        model: a reader.
    Example: see `make_reader`.
    """
    return all(layer.causal for layer in _attentions(model))


def _attentions(model: GPT) -> list[MultiHeadAttention]:
    return [module for module in model.modules() if isinstance(module, MultiHeadAttention)]


def train_reader(
    model: GPT,
    ids: Int[Tensor, " N"],
    *,
    seed: int,
    steps: int = STEPS,
    loss: Callable[[GPT, Tensor], Tensor] | None = None,
    after_step: Callable[[int], object] | None = None,
) -> History:
    """Train a reader in place, on as many characters a step for either kind.

    Args:
        model: a reader.
        ids: the text.
        seed: of the pieces that are drawn and of what is hidden.
        steps: fewer than `STEPS` stop early: the learning rates are those of a whole training. With more
            the whole training is longer.
        loss: what it is asked, from the model and ids (B, T); left out, what its kind is asked.
        after_step: see `training.train`.
    Returns: the history.
    Raises: as `training.train`.
    Example:
        >>> learned, held_out = texts()
        >>> history = train_reader(make_reader(causal=True, seed=0), learned, seed=0, steps=2)
        >>> len(history.losses)
        2
    """
    generator = Generator().manual_seed(seed)
    whole = max(steps, STEPS)
    config = TrainingConfig(whole, warmup_steps=20, learning_rate=3e-3, muon_learning_rate=0.02)
    causal = is_causal(model)
    if loss is None:
        loss = next_character_loss if causal else partial(hidden_character_loss, generator=generator)
    return train(
        model,
        windows(ids, CONTEXT if causal else CONTEXT - 1, 64, generator),
        loss,
        config,
        after_step=after_step,
        clock=lambda step: float(step if step < steps else whole),
    )


def next_character_loss(model: GPT, ids: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Asked at every place for the character that follows.

    Args:
        model: a reader of what came before.
        ids: pieces of text.
    Returns: in nats.
    Example:
        >>> loss = next_character_loss(make_reader(causal=True, seed=0), encode("to be")[None])
        >>> round(loss.item())  # log 97: it knows nothing yet
        5
    """
    inputs, targets = shift(ids)
    return token_loss(model(inputs), targets)


def hidden_character_loss(
    model: GPT, ids: Int[Tensor, "B T"], generator: Generator | None = None
) -> Float[Tensor, ""]:
    """Asked for the 15 % that were hidden.

    Args:
        model: a reader of both sides.
        ids: pieces of text.
        generator: draws what is hidden; None: torch's own.
    Returns: in nats.
    Example:
        >>> text = encode("to be or not to be, that is")[None]
        >>> loss = hidden_character_loss(make_reader(causal=False, seed=0), text, Generator().manual_seed(0))
        >>> round(loss.item())
        5
    """
    inputs, targets = mask_tokens(ids, MASK_ID, MASK_ID + 1, special_ids=[], generator=generator)
    return token_loss(model(inputs), targets)


@torch.no_grad()
def gap_losses(model: GPT, ids: Int[Tensor, "B 63"]) -> Float[Tensor, " B"]:
    """The surprise, in nats, at the character in the gap of each piece, in one pass.

    Either kind reads `CONTEXT` - 1 other characters: all of them left of the gap, or half on each side.

    Args:
        model: a reader; it is in evaluation mode afterwards.
        ids: as `pieces` gives them.
    Example:
        >>> _, held_out = texts()
        >>> gap_losses(make_reader(causal=False, seed=0), pieces(held_out, 5)).shape
        torch.Size([5])
    """
    model.eval()
    answers = ids[:, GAP]
    if is_causal(model):
        return token_losses(model(ids[:, :GAP])[:, -1], answers)
    hidden = ids.clone()
    hidden[:, GAP] = MASK_ID
    return token_losses(model(hidden[:, _BOTH_SIDES])[:, CONTEXT // 2], answers)


def load_readers() -> tuple[GPT, GPT, dict[str, Any]]:
    """The stored readers, of what came before and of both sides, and how they were made.

    Returns: two models in evaluation mode; the date, the seeds and, for each kind ("before", "both"), a curve
        for each seed: bits for the gap after the steps that stand beside. The models are those of the first
        seed.
    Example:
        >>> before, both, made = load_readers()
        >>> is_causal(before), is_causal(both), made["seeds"]
        (True, False, [0, 1, 2])
    """
    from safetensors.torch import load_model  # here, so that importing this module stays quick

    models = []
    for name, causal in KINDS.items():
        model = make_reader(causal=causal, seed=0)
        load_model(model, _FOLDER / f"reader_{name}.safetensors")
        models.append(model.eval().requires_grad_(False))
    return models[0], models[1], yaml.safe_load((_FOLDER / "readers.yml").read_text("utf-8"))


class Beside(nn.Module):
    """A large matrix, which stays as it is, and beside it two small ones, which may learn.

        y = W x + B A x      (Hu et al. 2021, section 4.1)

    Args:
        large: W.
        down: A, of as many rows as the small matrices are wide.
        up: B.
    Example:
        >>> beside = Beside(nn.Linear(4, 6, bias=False), torch.zeros(2, 4), torch.zeros(6, 2))
        >>> x = torch.randn(3, 4)
        >>> torch.equal(beside(x), beside.large(x))
        True
    """

    def __init__(self, large: nn.Linear, down: Float[Tensor, "r n_in"], up: Float[Tensor, "n_out r"]) -> None:
        super().__init__()
        if (up.shape[0], down.shape[1]) != tuple(large.weight.shape) or up.shape[1] != down.shape[0]:
            shapes = f"down {tuple(down.shape)}, up {tuple(up.shape)}"
            raise ValueError(
                f"up @ down must be {tuple(large.weight.shape)}, as the large matrix; got {shapes}"
            )
        self.large = large
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)

    def forward(self, x: Float[Tensor, "... n_in"]) -> Float[Tensor, "... n_out"]:
        return self.large(x) + x @ self.down.T @ self.up.T


@contextmanager
def filler(model: GPT, path: Path = FILLER) -> Iterator[Float[Tensor, " D"]]:
    """SmolLM2 as a model that fills gaps: its mask lifted, stored small matrices beside those of attention.

    As SmolLM2 was trained, the answer for a place is read at the place before it. Afterwards all is as it
    was.

    Args:
        model: SmolLM2 with unpacked weights.
        path: what `tools/store_filler.py` stored.
    Yields: the row that stands where a token is hidden, in place of one of the embedding table's.
    Raises: ValueError: the matrices do not fit the model.
    Example:
        >>> from course_lib.pretrained import load_smollm2
        >>> model, tokenizer = load_smollm2()
        >>> rows = model.embed(torch.tensor([tokenizer.encode("<|endoftext|>The capital of? is Paris.")]))
        >>> with filler(model) as gap, torch.no_grad():
        ...     rows[0, 4] = gap
        ...     scores = model.lm_head(model.stack(rows))[0, 3]
        >>> tokenizer.decode([int(scores.argmax())])
        ' France'
    """
    from safetensors.torch import load_file  # here, so that importing this module stays quick

    stored = load_file(path)
    device = model.token_embedding.weight.device
    layers = _attentions(model)
    if f"{len(layers) - 1}.q_proj.down" not in stored or f"{len(layers)}.q_proj.down" in stored:
        raise ValueError(f"{path.name} is for another number of layers than {len(layers)}")
    beside = {}
    for n, attention in enumerate(layers):
        for name in PROJECTIONS:
            large = getattr(attention, name)
            if not isinstance(large, nn.Linear):
                raise ValueError(f"the filler needs unpacked weights; {name} is a {type(large).__name__}")
            down, up = (stored[f"{n}.{name}.{part}"].float().to(device) for part in ("down", "up"))
            beside[attention, name] = Beside(large, down, up).requires_grad_(False)
    were_causal = [attention.causal for attention in layers]
    try:
        for (attention, name), both in beside.items():
            setattr(attention, name, both)
        for attention in layers:
            attention.causal = False
        yield stored["gap"].float().to(device)
    finally:
        for (attention, name), both in beside.items():
            setattr(attention, name, both.large)
        for attention, was in zip(layers, were_causal, strict=True):
            attention.causal = was


class Filler(nn.Module):
    """The same as a model of its own, which leaves SmolLM2 as it is between two calls.

    Args:
        model: see `filler`.
        path: see `filler`.
    Example: see `filler`.
    """

    def __init__(self, model: GPT, path: Path = FILLER) -> None:
        super().__init__()
        self.model = model
        self.path = path

    @torch.no_grad()
    def forward(
        self, ids: Int[Tensor, "B T"], hidden: Bool[Tensor, "B T"], places: Int[Tensor, " B"]
    ) -> Float[Tensor, "B V"]:
        """The scores for one place of each row.

        Args:
            ids: tokens; what stands where one is hidden does not matter.
            hidden: True = hidden.
            places: which one is asked for, from 0.
        """
        with filler(self.model, self.path) as gap:
            rows = self.model.embed(F.pad(ids, (1, 0)))  # 0: the token of a start
            rows[:, 1:][hidden] = gap
            asked = self.model.stack(rows)[torch.arange(len(ids)), places]  # one place before, as in training
            return self.model.lm_head(asked)


def filler_made(path: Path = FILLER) -> dict[str, Any]:
    """How the filler was made: seed, date, texts, and how many of the gaps it filled after so many steps.

    Args:
        path: what `tools/store_filler.py` stored.
    Returns: "made_by", "date", "seed" and the like; "curves": for "filler" and its rival "mask kept" a list
        of [steps, hidden tokens that it was asked for, gaps that it filled rightly, gaps with the right word
        among its five likeliest]; "filled": by way to fill them how many of the 48 gaps, and how many with
        the right word among five.
    Example:
        >>> sorted(filler_made()["curves"])
        ['filler', 'mask kept']
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        made: dict[str, Any] = dict(file.metadata())
    return made | {name: json.loads(made[name]) for name in ("curves", "filled")}
