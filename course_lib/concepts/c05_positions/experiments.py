"""The experiments of notebook 05: whether order matters, and what lies beyond the places of training."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise, product
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib import probing
from course_lib.blocks import TransformerStack
from course_lib.claims import Trained, trains
from course_lib.data import Examples, characters, digits, order, reviews, sounds, three_back, windows
from course_lib.decoder import GPT, GPTConfig, Positions
from course_lib.device import seeded
from course_lib.objectives import token_loss, token_losses
from course_lib.patches import frames, patchify
from course_lib.positions import PositionEmbedding
from course_lib.training import TrainingConfig, bar, starts_of, train

Shares = tuple[float, ...]
Runs = tuple[Shares, ...]  # one for each random start
Model = tuple[Any, Any]  # a real model and its tokenizer


def _learn(
    model: nn.Module, batches: Iterable[Any], loss: Callable[..., Tensor], steps: int, rate: float = 0.01
) -> None:
    rates = TrainingConfig(steps, min(20, steps), learning_rate=rate, muon_learning_rate=4 * rate)
    train(model, batches, loss, rates, progress=False)


# ---------------------------------------------------------------------- does order matter?

CHANCE = {"text": 1 / 2, "image": 1 / 10, "sound": 1 / 4}
WITHOUT, WITH, PATIENT = "without\npositions", "with", "without,\n3 x as long,\nbest of four"
# Layers, width and rate of those that know no positions and get more than those that do.
BAGS = ((3, 32, 0.01), (3, 64, 0.005), (4, 32, 0.005), (4, 64, 0.01))


@dataclass(frozen=True)
class WithoutPositions:
    """What readers with positions and without them name of text, images and sound.

    Args:
        right: by kind of data and by reader the shares of right answers, one a start.
    """

    right: Mapping[str, Mapping[str, Shares]]

    @property
    def text(self) -> float:
        """The share of rows in which the best reader without positions tells which symbol came first."""
        return self._without("text")

    @property
    def text_with(self) -> float:
        """The same with positions."""
        return mean(self.right["text"][WITH])

    @property
    def sound(self) -> float:
        """The share of melodies that the best reader without positions names."""
        return self._without("sound")

    @property
    def sound_with(self) -> float:
        """The same with positions."""
        return mean(self.right["sound"][WITH])

    @property
    def image(self) -> float:
        """The share of digits that a reader without positions names."""
        return mean(self.right["image"][WITHOUT])

    @property
    def image_with(self) -> float:
        """The same with positions."""
        return mean(self.right["image"][WITH])

    @property
    def image_patient(self) -> float:
        """The same of the best without positions that has more layers and three times the steps."""
        return mean(self.right["image"][PATIENT])

    @property
    def image_gain(self) -> float:
        """How many points more of the digits positions are worth, against the best of all without."""
        return 100 * (self.image_with - self._without("image"))

    def _without(self, kind: str) -> float:
        return max(mean(self.right[kind][reader]) for reader in (WITHOUT, PATIENT))


@trains(
    Trained(
        300, 900, widths=(32, 64), rates=(0.005, 0.01), but="Of symbols and melodies, 300 steps beside 100."
    )
)
def without_positions(
    seed: int = 0, starts: int = 2, steps: int = 100, patient: bool = True
) -> WithoutPositions:
    """How much do readers of text, images and sound name that do not know where their tokens stand?

    Rival: the same reader with positions left out; the best of four with three or four layers and three times
        the steps, see `BAGS`.
    Equal for both: examples, heads, the size of batches, the mean that decides; where layers and steps are
        the same also width, rate and batches.
    Does not show: how much order matters in a language or in photographs. Symbols and melodies were made so
        that nothing but order tells them apart.

    Args:
        seed: of examples, weights and batches.
        starts: how many readers of each kind are trained; of the four one each.
        steps: of 64 examples; digits, which take longer, get three times as many.
        patient: train the four, too; the claim cannot be judged without them.
    """
    right = {}
    for kind in bar(CHANCE):
        known, new = examples(kind, seed)
        own = 3 * steps if kind == "image" else steps
        usual: dict[str, Any] = {"seed": seed, "starts": starts, "steps": own}
        right[kind] = {
            WITHOUT: read(known, new, **usual, positions=False),
            WITH: read(known, new, **usual),
        }
        if patient:
            more: dict[str, Any] = {"seed": seed, "starts": 1, "steps": 3 * own, "positions": False}
            right[kind][PATIENT] = max(
                read(known, new, **more, n_layers=n_layers, width=width, rate=rate)
                for n_layers, width, rate in BAGS
            )
    return WithoutPositions(right)


class Reader(nn.Module):
    """Names what a row of vectors is: layers work on them, and the mean of all tokens decides.

    Args:
        n_numbers: of a vector.
        n_classes: what it can be.
        positions: add the vectors of the places (sinusoids).
        n_layers, width: its sizes.
        options: see `TransformerStack`.
    """

    def __init__(
        self,
        n_numbers: int,
        n_classes: int,
        positions: bool = True,
        n_layers: int = 1,
        width: int = 32,
        **options: Any,
    ) -> None:
        super().__init__()
        self.embedding, self.head = nn.Linear(n_numbers, width), nn.Linear(width, n_classes)
        self.positions = PositionEmbedding(16, width, learned=False) if positions else nn.Identity()
        self.stack = TransformerStack(width, n_layers, 4, 2 * width, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes, (B, n_classes)."""
        return self.head(self.stack(self.positions(self.embedding(x))).mean(1))


def examples(kind: str, seed: int = 0) -> tuple[Examples, Examples]:
    """What readers learn from, and what they are asked: vectors (rows, places, numbers) and classes.

    Args:
        kind: "text": ten symbols, among them a 1 and a 2, of which one comes first; "image": digits in 16
            patches; "sound": melodies of three notes, as spectra of 12 pieces.
        seed: what is drawn.
    Raises: ValueError: another kind.
    """
    if kind not in CHANCE:
        raise ValueError(f"kind must be one of {', '.join(CHANCE)}; got {kind!r}")
    random = torch.Generator().manual_seed(seed)
    if kind == "image":
        known, new = (Examples(patchify(images, 2), names) for images, names in digits(seed=seed))
        return known, new
    if kind == "text":
        return symbols(8000, random), symbols(1000, random)
    return melodies(1600, random), melodies(400, random)


def symbols(n: int, random: Generator) -> Examples:
    """Rows of ten symbols, a vector for each; 0 where the 1 comes first, 1 where the 2 does."""
    inputs, targets = order(n, 10, 20, random)
    return Examples(F.one_hot(inputs[:, :-1], 20).float(), targets[:, -1] - 1)


def melodies(n: int, random: Generator) -> Examples:
    """Melodies as spectra: how much of each frequency is in each piece of 25 ms."""
    waves, classes = sounds(n, generator=random)
    pieces = frames(waves, 200, 200) * torch.hann_window(200)
    return Examples(torch.log(0.001 + torch.fft.rfft(pieces).abs()), classes)


def reading(kind: str, *, seed: int = 0, starts: int = 2, steps: int = 100, **options: Any) -> Shares:
    """What share of new examples readers name, one number for each random start.

    Args:
        kind: see `examples`.
        seed: of the examples, the weights and the batches.
        starts: how many readers are trained.
        steps: of 64 examples.
        options: see `Reader`.
    """
    return read(*examples(kind, seed), seed=seed, starts=starts, steps=steps, **options)


def read(
    known: Examples,
    new: Examples,
    *,
    seed: int = 0,
    starts: int = 2,
    steps: int = 100,
    rate: float = 0.01,
    **options: Any,
) -> Shares:
    """As `reading`, for any examples to learn from and new ones, and at any rate; see `learn_back`."""
    middle, scale = known.inputs.mean(), known.inputs.std()
    x, asked = (known.inputs - middle) / scale, (new.inputs - middle) / scale
    found = []
    for start in starts_of(seed, starts):
        with seeded(start):
            reader = Reader(x.shape[2], len(known.targets.unique()), **options)
            rows = torch.randint(len(x), (steps, 64))
        _learn(reader, (Examples(x[each], known.targets[each]) for each in rows), _naming_loss, steps, rate)
        with torch.no_grad():
            found.append((reader(asked).argmax(-1) == new.targets).float().mean().item())
    return tuple(found)


def _naming_loss(reader: nn.Module, batch: Examples) -> Tensor:
    return F.cross_entropy(reader(batch.inputs), batch.targets)


# ---------------------------------------------------------------------- beyond the trained places

# Each has the number of heads, of 1, 2, 4 and 8 (ALiBi also 16), with which it does best: three places ago
# beyond the trained places (starts 100 to 103), on text within them (start 100). It matters: three places ago
# rotary finds all of the farthest with 8, none with 4; on text 2 cost 2.38 bits a character, 8 cost 2.61.
BACK_HEADS: dict[Positions, int] = {
    "none": 2,
    "learned": 1,
    "sinusoidal": 1,
    "rotary": 8,
    "alibi": 16,
    "relative": 1,
}
TEXT_HEADS: dict[Positions, int] = {"none": 2, "rotary": 2, "alibi": 8}
ANYWHERE, LONGER = "learned, random starts", "alibi, 5 x the steps"
UNPLACED = "none, 5 x the steps, three layers"
WIDTHS, RATES = (32, 64), (0.005, 0.01)  # with which three layers without positions are tried
manual = cache(characters)  # Python's


def decoder(scheme: Positions, vocab_size: int, seed: int, width: int = 32, **sizes: Any) -> GPT:
    """A decoder with these positions; sizes: see `GPTConfig`."""
    sizes |= {"d_model": width, "d_ff": 2 * width}
    with seeded(seed):
        # Not tied: the scores have a table of their own.
        model = GPT(GPTConfig(vocab_size, positions=scheme, tied=False, **sizes))
        nn.init.normal_(model.token_embedding.weight, std=0.5)  # or waves would drown the tokens
    return model


@torch.no_grad()
def scores(model: GPT, ids: Tensor, window: int | None = None) -> Tensor:
    """What model(ids) gives; window: each token sees itself and the window - 1 before it."""
    n = ids.shape[1]
    mask = None if window is None else torch.ones(n, n, dtype=torch.bool).triu(1 - window)
    return model.lm_head(model.stack(model.embed(ids), mask=mask))  # causal besides


def _next_loss(model: GPT, batch: tuple[Tensor, Tensor]) -> Tensor:
    return token_loss(model(batch[0]), batch[1])


def learn_back(
    scheme: Positions,
    *,
    seed: int = 0,
    steps: int = 120,
    length: int = 32,
    n_heads: int = 1,
    n_layers: int = 1,
    width: int = 32,
    rate: float = 0.01,
    anywhere: bool = False,
) -> GPT:
    """A decoder that has learned to say which of eight symbols stood three places ago.

    Args:
        scheme: how it knows places.
        seed: of weights and rows.
        steps: of 32 rows.
        length: symbols in a row; four times as many fit.
        n_heads, n_layers, width: its sizes.
        rate: AdamW's at its peak; Muon's is four times that.
        anywhere: let each batch begin at a random place of a "learned" table.
    """
    random = torch.Generator().manual_seed(seed)
    sizes = {"n_heads": n_heads, "n_layers": n_layers, "max_seq_len": (5 if anywhere else 4) * length}
    model = decoder(scheme, 9, seed, width, **sizes)
    with _elsewhere(model, 4 * length, random) if anywhere else nullcontext():
        _learn(model, (three_back(32, length, 9, random) for _ in count()), _next_loss, steps, rate)
    return model


@contextmanager
def _elsewhere(model: GPT, last: int, random: Generator) -> Iterator[None]:
    """Inside, each batch begins at a random place of the learned table, from 0 to the last."""

    def start(module: nn.Module, args: tuple) -> tuple:
        return args[0], int(torch.randint(last + 1, (1,), generator=random))

    hook = model.get_submodule("position_embedding").register_forward_pre_hook(start)
    try:
        yield
    finally:
        hook.remove()


def back_right(model: GPT, *, length: int = 32, window: int | None = None) -> Shares:
    """What share it finds within the trained length, from there to twice, and to four times that length."""
    inputs, targets = three_back(50, 4 * length, 9, torch.Generator().manual_seed(99))
    right = (scores(model, inputs, window).argmax(-1) == targets).float()
    spans = ((3, length), (length, 2 * length), (2 * length, 4 * length))
    return tuple(right[:, begin:end].mean().item() for begin, end in spans)


@dataclass(frozen=True)
class ThreePlacesAgo:
    """Which symbol stood three places ago: shares of right answers within the trained places and beyond.

    Args:
        right: by scheme for each start the shares in three spans, see `back_right`.
        rivals: the same of schemes that were given more.
    """

    right: Mapping[str, Runs]
    rivals: Mapping[str, Runs]


def three_places_ago(
    seed: int = 0, starts: int = 2, steps: int = 120, trained: int = 32, patient: bool = True
) -> ThreePlacesAgo:
    """What do decoders make of places beyond the trained ones, where nothing but distance tells?

    Args: see `beyond_training`.
    """
    own = starts_of(seed, starts)

    def learned(scheme: Positions, share: int = 1, **more: Any) -> list[GPT]:
        size: dict[str, Any] = {"n_heads": BACK_HEADS[scheme], "steps": share * steps, "length": trained}
        return [learn_back(scheme, seed=start, **size, **more) for start in own]

    def asked(models: Iterable[GPT]) -> Runs:
        return tuple(back_right(model, length=trained) for model in models)

    right: dict[str, Runs] = {scheme: asked(learned(scheme)) for scheme in bar(BACK_HEADS)}
    rivals = {
        ANYWHERE: asked(learned("learned", 2, anywhere=True)),
        LONGER: asked(learned("alibi", 5)),
    }
    if patient:
        rivals[UNPLACED] = (_best_unplaced(own[0], 5 * steps, trained),)
    return ThreePlacesAgo(right, rivals)


def _best_unplaced(seed: int, steps: int, length: int) -> Shares:
    """What the best of several decoders without positions finds; see `back_right`."""
    size: dict[str, Any] = {"n_heads": 8, "n_layers": 3, "steps": steps, "length": length}
    tried = product(WIDTHS, RATES)
    models = [learn_back("none", seed=seed, width=width, rate=rate, **size) for width, rate in bar([*tried])]
    return max(back_right(model, length=length) for model in models)  # within the trained length


def learn_text(
    scheme: Positions, *, seed: int = 0, steps: int = 120, length: int = 32, n_heads: int = 2
) -> GPT:
    """A decoder of two layers that has read English text, character by character.

    Args:
        scheme: how it knows places.
        seed: of weights and pieces of text.
        steps: of 32 pieces.
        length: characters in a piece; eight times as many fit.
        n_heads: of a layer.
    """
    table, known, _ = manual()
    model = decoder(scheme, len(table), seed, n_heads=n_heads, n_layers=2, max_seq_len=8 * length)
    texts = windows(known, length, 32, torch.Generator().manual_seed(seed))
    _learn(model, map(_shifted, texts), _next_loss, steps)
    return model


def _shifted(ids: Tensor) -> tuple[Tensor, Tensor]:
    return ids[:, :-1], ids[:, 1:]


def bits(model: GPT, *, length: int = 32, window: int | None = None) -> Shares:
    """What a character of unread text costs in bits, in four spans of places.

    Args:
        model: as `learn_text` gives it.
        length: that it was trained on; the spans end there, at twice, four and eight times that length. The
            first begins at a quarter of it.
        window: see `scores`.
    """
    unread = manual()[2]
    ids, following = _shifted(next(windows(unread, 8 * length, 16, torch.Generator().manual_seed(99))))
    costs = F.cross_entropy(scores(model, ids, window).mT, following, reduction="none") / math.log(2)
    ends = [length // 4, *(length * 2**i for i in range(4))]
    return tuple(costs[:, begin:end].mean().item() for begin, end in pairwise(ends))


@dataclass(frozen=True)
class EnglishText:
    """What a character costs within the trained places and beyond, in bits.

    Args:
        bits: by scheme for each start the cost in four spans, see `bits`.
        windowed: the same where each character sees no more than the trained length.
        longer: the same without positions, after three times the steps.
    """

    bits: Mapping[str, Runs]
    windowed: Mapping[str, Runs]
    longer: Runs = ()


def english_text(
    seed: int = 0, starts: int = 2, steps: int = 120, trained: int = 32, patient: bool = True
) -> EnglishText:
    """What do decoders make of places beyond the trained ones in Python's manual?

    Args: see `beyond_training`.
    """

    def learned(scheme: Positions, share: int = 1) -> list[GPT]:
        size: dict[str, Any] = {"n_heads": TEXT_HEADS[scheme], "steps": share * steps, "length": trained}
        return [learn_text(scheme, seed=start, **size) for start in starts_of(seed, starts)]

    def costs(models: Iterable[GPT], window: int | None = None) -> Runs:
        return tuple(bits(model, length=trained, window=window) for model in models)

    models = {scheme: learned(scheme) for scheme in bar(TEXT_HEADS)}
    return EnglishText(
        {scheme: costs(each) for scheme, each in models.items()},
        {scheme: costs(each, trained) for scheme, each in models.items()},
        costs(learned("none", 3)) if patient else (),
    )


@dataclass(frozen=True)
class BeyondTraining:
    """What six schemes make of the places they were trained on, and of those beyond, in two tasks.

    Args:
        back: three places ago.
        text: English text.
    """

    back: ThreePlacesAgo
    text: EnglishText

    @property
    def trained(self) -> float:
        """Three places ago, the share that the worst of learned, rotary and relative finds when trained."""
        return min(run[0] for scheme in ("learned", "rotary", "relative") for run in self.back.right[scheme])

    @property
    def unplaced(self) -> float:
        """The share that is found there without positions, in one layer and after as many steps."""
        return average(self.back.right["none"], 0)

    @property
    def patient(self) -> float:
        """The same in three layers and after five times the steps."""
        return average(self.back.rivals[UNPLACED], 0)

    @property
    def farther(self) -> float:
        """What these find from twice the trained length on."""
        return average(self.back.rivals[UNPLACED])

    @property
    def rule(self) -> float:
        """How many points more sinusoids find than a learned table, from the trained length to twice it."""
        return 100 * (average(self.back.right["sinusoidal"], 1) - average(self.back.right["learned"], 1))

    @property
    def untrained(self) -> float:
        """The share that a learned table finds in its untrained rows, from twice the trained length on."""
        return average(self.back.right["learned"])

    @property
    def everywhere(self) -> float:
        """How many points more it finds there when all its rows were trained."""
        return 100 * (average(self.back.rivals[ANYWHERE]) - self.untrained)

    @property
    def relative(self) -> float:
        """The share that a vector for each distance finds there."""
        return average(self.back.right["relative"])

    @property
    def hurried(self) -> float:
        """The share that ALiBi finds there."""
        return average(self.back.right["alibi"])

    @property
    def alibi(self) -> float:
        """The same after five times the steps."""
        return average(self.back.rivals[LONGER])

    @property
    def within(self) -> float:
        """Bits a character that the worse of rotary and ALiBi saves within the trained length."""
        text = self.text.bits
        return average(text["none"], 0) - max(average(text["rotary"], 0), average(text["alibi"], 0))

    @property
    def bears(self) -> float:
        """The same of ALiBi from four times the trained length on, where no positions had more steps."""
        return average(self.text.longer) - average(self.text.bits["alibi"])

    @property
    def unmet(self) -> float:
        """Bits a character that rotary costs there more than no positions."""
        return average(self.text.bits["rotary"]) - average(self.text.bits["none"])

    @property
    def windowed(self) -> float:
        """Bits that it costs there more than ALiBi when each character sees the trained length only."""
        return average(self.text.windowed["rotary"]) - average(self.text.bits["alibi"])


def average(runs: Runs, span: int = -1) -> float:
    """The mean of all starts in one span, the last if none is named."""
    return mean(run[span] for run in runs)


@trains(Trained(120, 600, WIDTHS, RATES))
def beyond_training(
    seed: int = 0, starts: int = 2, steps: int = 120, trained: int = 32, patient: bool = True
) -> BeyondTraining:
    """How far do positions reach that follow a rule, and learned ones, beyond the length of training?

    Rival: no positions, in three layers, with five times the steps and the better of two widths and two
        rates, on text with three times the steps; the learned table with all its rows trained, ALiBi with
        five times the steps; rotary with a window as long as the training.
    Equal for all others: width, layers, rows, steps, rates, the causal mask. Each scheme has the number of
        heads with which it does best.
    Does not show: which scheme is best in a larger model or after a longer training.

    Args:
        seed: of weights and rows.
        starts: how many decoders of each kind are trained.
        steps: of 32 rows.
        trained: symbols or characters in a row.
        patient: give no positions more steps, too; the claim cannot be judged without it.
    """
    given = (seed, starts, steps, trained, patient)
    return BeyondTraining(three_places_ago(*given), english_text(*given))


# ---------------------------------------------------------------------- a real model, its tokens elsewhere


def some_texts(smollm2: Model, n: int = 4, length: int = 48) -> Tensor:
    """Reviews as tokens, one after the other, cut into pieces: (n, length)."""
    model, tokenizer = smollm2
    ids = tokenizer.encode(" ".join(review.text for review in reviews()[1][::4]))
    return torch.tensor(ids[: n * length], device=next(model.parameters()).device).view(n, length)


@torch.no_grad()
def text_losses(smollm2: Model, n: int = 4, length: int = 48) -> Shares:
    """The model's loss on texts, in nats a token, one number for each text."""
    ids = some_texts(smollm2, n, length)
    return tuple(token_losses(smollm2[0](ids)[:, :-1], ids[:, 1:]).view(n, -1).mean(1).tolist())


def moved(
    smollm2: Model, changes: Mapping[str, Callable[[Tensor], Tensor]], n: int = 4, length: int = 48
) -> dict[str, Shares]:
    """What a model loses whose tokens stand elsewhere: by change the loss of each text, in nats a token.

    Args:
        smollm2: the model and its tokenizer.
        changes: what becomes of the places.
        n, length: how many texts, and tokens in each.
    """
    losses = {}
    for name, change in changes.items():
        with probing.positions_changed(smollm2[0], change):
            losses[name] = text_losses(smollm2, n, length)
    return losses


def rise(losses: Mapping[str, Shares], change: str) -> float:
    """By how many nats a token a change raises the loss of the "intact" model."""
    return mean(losses[change]) - mean(losses["intact"])


@dataclass(frozen=True)
class NarrowWindow:
    """By how many nats a token the loss rises far from the beginning.

    Args:
        cut: when each token sees a window only.
        kept: when one token more stays in sight, by its place.
    """

    cut: float
    kept: Mapping[int, float]


@torch.no_grad()
def narrow_window(
    smollm2: Model, window: int = 48, length: int = 192, kept: tuple[int, ...] = (0, 20)
) -> NarrowWindow:
    """Can a model do with the last tokens, and does it need the first?

    Args:
        smollm2: the model and its tokenizer.
        window: how many tokens each sees, itself included.
        length: of the text; the second half counts.
        kept: the place of a token that stays in sight, one after the other.
    """
    model, _ = smollm2
    ids = some_texts(smollm2, 1, length)
    band = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1 - window)

    def late_loss(mask: Tensor | None = None) -> float:
        logits = model.lm_head(model.stack(model.embed(ids), mask=mask))
        return token_losses(logits[:, length // 2 - 1 : -1], ids[:, length // 2 :]).mean().item()

    def with_token(place: int) -> Tensor:
        seen = band.clone()
        seen[:, place] = True  # the causal mask still hides it from those before
        return seen

    whole = late_loss()
    rises = {place: late_loss(with_token(place)) - whole for place in kept}
    return NarrowWindow(late_loss(band) - whole, rises)
