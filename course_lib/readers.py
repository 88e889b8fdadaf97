"""Two readers of one text with the same body: one sees what came before, the other sees both sides.

Characters of Python's language reference, two layers. One is asked at every place for the next character
(as GPT), the other for the 15 % that were hidden (as BERT). Trained for longer than a notebook may take, both
stand in files beside this module, which `tools/store_readers.py` made.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Float, Int
from torch import Generator, Tensor

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
_FOLDER = Path(__file__).parent
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
