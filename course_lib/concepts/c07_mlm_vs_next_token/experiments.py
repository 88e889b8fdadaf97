"""The experiments of notebook 07: what two ways of asking teach, and what each reader can do then.

The readers are small (`course_lib.readers`) and run on the CPU, on one core; real models run where they were
loaded.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Generator, Tensor, nn

from course_lib import probing, readers
from course_lib.bpe import BPETokenizer
from course_lib.claims import Trained, interval, trains
from course_lib.data import Sentence, python_topics, reviews, sentences
from course_lib.decoder import GPT
from course_lib.device import one_core, seeded
from course_lib.encoder import BERT, BERTConfig
from course_lib.objectives import IGNORE, mask_tokens, shift, token_loss, token_losses
from course_lib.pretrained import sentence_embedding
from course_lib.readers import CONTEXT, GAP, MASK_ID
from course_lib.training import bar, starts_of

MIDDLE = CONTEXT // 2  # where the gap is in what a reader of both sides sees
SEEN = slice(GAP - MIDDLE, GAP + MIDDLE)  # what that is of a piece
N_LAYERS = 6  # MiniLM's
PAD = MASK_ID + 1  # a special token of the readers
texts = cache(readers.texts)  # to learn from, and held out

Loss = Callable[[GPT, Tensor], Tensor]
Mask = Callable[..., tuple[Tensor, Tensor]]


@cache
def known_text() -> str:
    """What the readers learned from."""
    return readers.decode(texts()[0])


@cache
def held_out(seed: int, n: int = 200) -> Tensor:
    """Pieces of held-out text (n, 63) whose middle does not stand in the training text, too."""
    drawn = readers.pieces(texts()[1], 2 * n, Generator().manual_seed(seed))
    return drawn[[readers.decode(piece[SEEN]) not in known_text() for piece in drawn]][:n]


# ------------------------------------------------------------------------------------------ mask-15


@dataclass(frozen=True)
class Rates:
    """What becomes of the tokens.

    Args:
        rate: the share of the ordinary ones that is chosen.
        spared: how many special ones are chosen.
        masks, swapped, kept: the shares of the chosen that are hidden, exchanged and left.
    """

    rate: float
    spared: int
    masks: float
    swapped: float
    kept: float


def rates(seed: int = 0, *, mask: Mask = mask_tokens) -> Rates:
    """Which of 400,000 characters a recipe chooses, and what it does to them; rows begin with padding."""
    rows = nn.functional.pad(texts()[0][:400_000].view(-1, 50), (1, 0), value=PAD)
    inputs, targets = mask(rows, MASK_ID, PAD, special_ids=[PAD], generator=Generator().manual_seed(seed))
    chosen, ordinary = targets != IGNORE, rows != PAD
    now, before = inputs[chosen], rows[chosen]

    def share(which: Tensor) -> float:
        return which.float().mean().item()

    hidden, same = now == MASK_ID, now == before
    return Rates(
        rate=share(chosen[ordinary]),
        spared=int(chosen[~ordinary].sum()),
        masks=share(hidden),
        swapped=share(~hidden & ~same),
        kept=share(same),
    )


@dataclass(frozen=True)
class Mask15(Rates):
    """The rates, and what readers learn from other ones.

    Args:
        bits: by training, for each start the surprise at a gap, at the right character and at a wrong one.
    """

    bits: Mapping[str, tuple[tuple[float, float, float], ...]]

    def _more(self, training: str, place: int) -> float:
        """Bits more than with the recipe; mean of the starts."""
        pairs = zip(self.bits[training], self.bits[RECIPE], strict=True)
        return float(np.mean([other[place] - ours[place] for other, ours in pairs]))

    @property
    def fewer(self) -> float:
        """At a gap, for readers that are asked for 3 %, three times as long."""
        return self._more(FEWER, 0)

    @property
    def more(self) -> float:
        """The same with 75 %."""
        return self._more(MORE, 0)

    @property
    def toll(self) -> float:
        """What the recipe costs at a gap, against masks only."""
        return -self._more(MASKS, 0)

    @property
    def unasked(self) -> float:
        """At a character in plain sight, with masks only."""
        return self._more(MASKS, 1)

    @property
    def trust(self) -> float:
        """At a wrong character, where none was exchanged in training."""
        return self._more(LEFT, 2)


RECIPE, MASKS, LEFT, FEWER, MORE = "80, 10, 10", "masks only", "none exchanged", "3 %", "75 %"


def recipe(choose: float, hide: float) -> Loss:
    """So many are chosen; of these so many become the mask, and the others stay."""

    def loss(model: GPT, ids: Tensor) -> Tensor:
        chosen, dice = torch.rand(2, *ids.shape)
        logits = model(ids.masked_fill((chosen < choose) & (dice < hide), MASK_ID))
        return token_loss(logits, ids.masked_fill(chosen >= choose, IGNORE))

    return loss


def asked_for(fraction: float, mask: Mask = mask_tokens) -> Loss:
    """So many are chosen, and done with as BERT does."""

    def loss(model: GPT, ids: Tensor) -> Tensor:
        inputs, targets = mask(ids, MASK_ID, PAD, special_ids=[], fraction=fraction)
        return token_loss(model(inputs), targets)

    return loss


@torch.no_grad()
def in_the_middle(model: GPT, pieces: Tensor, put: Tensor | int) -> Tensor:
    """The scores (n, V) for the middle of each piece, where this is put, from a reader of both sides."""
    window = pieces[:, SEEN].clone()
    window[:, MIDDLE] = put
    return model(window)[:, MIDDLE]


def learn(
    model: GPT, seed: int, steps: int, loss: Loss | None = None, look: Callable[[int], object] | None = None
) -> GPT:
    """Train a reader; all is drawn from this seed. Look is called with the number of steps done."""
    with seeded(seed):
        known, _ = texts()
        readers.train_reader(model, known, seed=seed, steps=steps, loss=loss, after_step=look)
    return model.eval()


@trains(Trained(100, 300, but="All readers are of one width and learn at one rate."))
@one_core()
def mask_15(
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 100,
    mask: Mask = mask_tokens,
    recipe: Callable[[float, float], Loss] = recipe,
) -> Mask15:
    """Are 15 % chosen and hidden, and what is that good for?

    Rival: a fifth and five times as many, three times as long; masks only; and masks and characters left, but
    none exchanged.
    Equal for all: the body, its starts, the text, the held-out pieces that they are asked about, and, but for
    the first two rivals, the steps.
    Does not show: which share is best, or another body or text.

    Args:
        seed: of what is hidden, of the starts and the pieces.
        starts: readers for each training.
        steps: of training.
        mask: what chooses and hides, as `objectives.mask_tokens`.
        recipe: (share chosen, share of these that is hidden) -> the loss of a training without exchange.
    """
    losses = {
        MASKS: recipe(0.15, 1.0),
        LEFT: recipe(0.135, 8 / 9),  # as many hidden and left as in the recipe
        RECIPE: asked_for(0.15, mask),
        FEWER: asked_for(0.03, mask),
        MORE: asked_for(0.75, mask),
    }
    pieces = held_out(seed)
    right = pieces[:, GAP]
    other = torch.randint(1, MASK_ID, right.shape, generator=Generator().manual_seed(seed))
    stands_there = (MASK_ID, right, (right + other) % MASK_ID)

    def bits(model: GPT) -> tuple[float, ...]:
        scores = [in_the_middle(model, pieces, put) for put in stands_there]
        return tuple(token_losses(each, right).mean().item() / math.log(2) for each in scores)

    runs = [(name, start) for name in losses for start in starts_of(seed, starts)]
    found: dict[str, Any] = dict.fromkeys(losses, ())
    for name, start in bar(runs, desc="readers"):
        reader = readers.make_reader(causal=False, seed=start)
        patience = 3 if name in (FEWER, MORE) else 1
        found[name] += (bits(learn(reader, start, patience * steps, losses[name])),)
    return Mask15(**vars(rates(seed, mask=mask)), bits=found)


# ------------------------------------------------------------------------------------------ two readers learn

BEFORE, BOTH = "before", "both sides"


def seldom(model: GPT, ids: Tensor) -> Tensor:
    """What comes next, asked at 15 % of the places."""
    inputs, targets = shift(ids)
    return token_loss(model(inputs), targets.masked_fill(torch.rand(targets.shape) >= 0.15, IGNORE))


@one_core()
def asked_seldom(seed: int = 0, *, steps: Sequence[int] = (50, 100)) -> tuple[float, ...]:
    """Bits for the gap after so many steps, of a reader of what came before that is asked as seldom as BERT.

    The stored curves (`readers.load_readers`) are of the same gaps, body, text and starts, if seed is one of
    theirs.
    """
    gaps = readers.pieces(texts()[1], 2048, Generator().manual_seed(0))
    model = readers.make_reader(causal=True, seed=seed)
    bits: list[float] = []

    def look(step: int) -> None:
        if step in steps:
            bits.append(readers.gap_losses(model, gaps).mean().item() / math.log(2))

    learn(model, seed, max(steps), seldom, look)
    return tuple(bits)


# ------------------------------------------------------------------------------------------ who fills gaps


@dataclass(frozen=True)
class Gaps:
    """What stands in held-out gaps.

    Args:
        answers: what is right (n,).
        shares: by way to fill them, the share of each character (n, 96).
    """

    answers: Tensor
    shares: Mapping[str, Tensor]

    def bits(self, way: str) -> Tensor:
        """The surprise at the right one in each gap."""
        return -self.shares[way].gather(1, self.answers[:, None])[:, 0].log2()

    def right(self, way: str) -> Tensor:
        """1 for each gap that is filled rightly, else 0."""
        return (self.shares[way].argmax(1) == self.answers).double()


@cache
def _bytes() -> Tensor:
    return texts()[0].to(torch.uint8)  # bytes are quicker to compare


def counted(pieces: Tensor, places: Sequence[int], rough: Tensor) -> Tensor:
    """What stood between such neighbours in the training text; where these are rare, rough is mixed in.

    Args:
        pieces: around the gaps.
        places: of the neighbours, from the gap.
        rough: what is expected otherwise (n, 96).
    """
    known, shares, n = _bytes(), [], len(_bytes()) - 10
    for piece, share in zip(pieces, rough, strict=True):
        alike = torch.ones(n, dtype=torch.bool)
        for place in places:
            alike &= known[5 + place : 5 + place + n] == piece[GAP + place]
        found = torch.bincount(known[5 : 5 + n][alike], minlength=MASK_ID)
        weight = (found > 0).sum().clamp(min=1)  # so many different ones were found
        shares.append((found + weight * share) / (found.sum() + weight))
    return torch.stack(shares)


COUNTS_LEFT, COUNTS_BOTH = "counts left", "counts, both"
ONE_PASS, BOTH_PASS, TRYING = "before, one pass", "both sides, one pass", "before, trying, {} later"


@one_core()
def fill(seed: int = 0, *, n: int = 200, both: GPT | None = None) -> Gaps:
    """Fill held-out gaps in one pass, and by counts of up to five characters before, or three on each side.

    Args:
        seed: of the gaps.
        n: how many gaps.
        both: a reader of both sides; left out, the stored one.
    """
    pieces, before_reader, stored = held_out(seed, n), *readers.load_readers()[:2]
    one = torch.bincount(_bytes(), minlength=MASK_ID) + 1.0
    unigram = (one / one.sum()).expand(len(pieces), -1)
    left = sides = bigram = counted(pieces, [-1], unigram)
    for length in range(2, 6):
        left = counted(pieces, range(-length, 0), left)
    for places in ([-1, 1], [-2, -1, 1], [-2, -1, 1, 2], [-3, -2, -1, 1, 2], [-3, -2, -1, 1, 2, 3]):
        sides = counted(pieces, places, sides)
    with torch.no_grad():
        before = before_reader(pieces[:, :GAP])[:, -1]
    seen = in_the_middle(both or stored, pieces, MASK_ID)
    shares = {"unigram": unigram, "bigram": bigram, COUNTS_LEFT: left, COUNTS_BOTH: sides}
    one_pass = {ONE_PASS: before, BOTH_PASS: seen}
    shares |= {way: scores[:, :MASK_ID].softmax(-1) for way, scores in one_pass.items()}
    return Gaps(pieces[:, GAP], shares)


@one_core()
@torch.no_grad()
def by_trying(
    seed: int = 0, *, n: int = 200, laters: Sequence[int] = (1, 3, 15), before: GPT | None = None
) -> Gaps:
    """Let the reader of what came before put each character into the gap and score what the other one sees.

    Args:
        seed, n: see `fill`.
        laters: how many of the characters behind the gap count.
        before: a reader of what came before; left out, the stored one.
    """
    pieces, model = held_out(seed, n), before or readers.load_readers()[0]
    windows = pieces[:, None, SEEN].repeat(1, MASK_ID, 1)  # (n, 96, 32)
    windows[:, :, MIDDLE] = torch.arange(MASK_ID)
    scores: dict[int, list[Tensor]] = {later: [] for later in laters}
    for tried in windows:  # one gap, 96 rows
        losses = token_losses(model(tried[:, :-1]), tried[:, 1:]).view(len(tried), -1)
        for later in laters:
            scores[later].append(-losses[:, : MIDDLE + later].sum(1))
    shares = {TRYING.format(later): torch.stack(each).softmax(-1) for later, each in scores.items()}
    return Gaps(pieces[:, GAP], shares)


# ------------------------------------------------------------------------------------------ mlm-head


@dataclass(frozen=True)
class MlmHead:
    """Whether heads are linear, and how many gaps one fills.

    Args:
        off, bent: how far our reader's head and BERT's are from f(a + b) = f(a) + f(b), at most.
        gaps: see `fill`.
    """

    off: float
    bent: float
    gaps: Gaps

    @property
    def accuracy(self) -> float:
        """The share of gaps that the reader fills rightly."""
        return self.gaps.right(BOTH_PASS).mean().item()

    @property
    def bigram(self) -> float:
        """The share that the character before the gap fills."""
        return self.gaps.right("bigram").mean().item()

    @property
    def counts(self) -> float:
        """The points that counts fill fewer, at most: see `interval`."""
        return 100 * interval(self.gaps.right(BOTH_PASS) - self.gaps.right(COUNTS_BOTH))[1]


def mlm_head(seed: int = 0, *, n: int = 200, reader: GPT | None = None) -> MlmHead:
    """Does a linear head pick what was hidden?

    Rival: counting what stood in the training text between the same three characters on each side.
    Equal for both: the training text and the gaps; the reader sees more than three characters on each side.
    Does not show: a head with a bend on the same body, other bodies or texts, another start of this one.

    Args:
        seed: of the gaps, of a BERT and of what its head and the reader's are given.
        n: how many gaps.
        reader: of both sides; left out, the stored one.
    """
    reader = reader or readers.load_readers()[1]
    with seeded(seed):
        bert = BERT(BERTConfig(PAD + 1, CONTEXT, d_model=64, n_layers=2, n_heads=4)).double()
        a, b = torch.randn(2, 7, 64, dtype=torch.float64)

    @torch.no_grad()
    def bend(head: Callable[[Tensor], Tensor]) -> float:
        return (head(a + b) - head(a) - head(b)).abs().max().item()

    gaps = fill(seed, n=n, both=reader)
    return MlmHead(bend(deepcopy(reader.lm_head).double()), bend(bert.mlm_logits), gaps)


# ------------------------------------------------------------------------------------------ who writes

ITSELF, AGAIN, COUNTS_3, COUNTS_5 = "the text itself", "both sides, twice over", "counts of 3", "counts of 5"
N_WRITTEN = 48  # characters


@one_core()
@torch.no_grad()
def writing(
    seed: int = 0, *, n: int = 64, before: GPT | None = None, both: GPT | None = None
) -> dict[str, list[str]]:
    """What each of them makes of the beginnings of held-out texts.

    The reader of both sides hides the character after the text and fills it; then it hides each of its
    characters in turn and fills it again, twice (Wang & Cho 2019). Counts go on with what stood somewhere in
    the training text behind the same characters.

    Args:
        seed: of the beginnings and of what is drawn.
        n: how many.
        before, both: readers; left out, the stored ones.
    """
    random = Generator().manual_seed(seed)
    starts = readers.pieces(texts()[1], n, random)[:, :GAP]
    itself = readers.pieces(texts()[1], n, random)[:, -N_WRITTEN:]
    stored = readers.load_readers()
    before, both = before or stored[0], both or stored[1]

    def sampled(logits: Tensor) -> Tensor:
        return torch.multinomial(logits[:, :MASK_ID].softmax(-1), 1, generator=random)

    def goes_on(next_logits: Callable[[Tensor], Tensor]) -> Tensor:
        ids = starts
        for _ in range(N_WRITTEN):
            ids = torch.cat([ids, sampled(next_logits(ids[:, -GAP:]))], dim=1)
        return ids

    one_go = goes_on(lambda ids: both(nn.functional.pad(ids, (0, 1), value=MASK_ID))[:, -1])
    again = one_go.clone()
    for place in [*range(GAP, again.shape[1])] * 2:
        start = min(place - MIDDLE, again.shape[1] - CONTEXT)
        window = again[:, start : start + CONTEXT].clone()
        window[:, place - start] = MASK_ID
        again[:, place] = sampled(both(window)[:, place - start])[:, 0]
    rows = {ITSELF: itself, BEFORE: goes_on(lambda ids: before(ids)[:, -1]), BOTH: one_go, AGAIN: again}
    written = {name: [readers.decode(row[-N_WRITTEN:]) for row in ids] for name, ids in rows.items()}
    for name, length in ((COUNTS_3, 3), (COUNTS_5, 5)):
        written[name] = [by_counts(length, readers.decode(row), random)[GAP:] for row in starts]
    return written


@cache
def _followers(length: int) -> dict[str, list[str]]:
    """What stood behind each so many characters."""
    text, found = known_text(), dict[str, list[str]]()
    for place in range(len(text) - length):
        found.setdefault(text[place : place + length], []).append(text[place + length])
    return found


def by_counts(length: int, text: str, random: Generator) -> str:
    """A text that goes on with what stood in the training text behind the same characters, so many."""
    for _ in range(N_WRITTEN):
        text += any_of(_followers(length).get(text[-length:], " "), random)
    return text


def any_of(things: Sequence[Any], random: Generator) -> Any:
    """One of these."""
    return things[int(torch.randint(len(things), (1,), generator=random))]


@cache
def _words() -> frozenset[str]:
    return frozenset(re.findall("[a-z]{4,}", known_text().lower()))


def real(rows: Sequence[str]) -> float:
    """The share of words that occur in the training text: those of four letters or more, not cut off."""
    written = [word for row in rows for word in re.findall("[a-z]+", row.lower())[1:-1] if len(word) >= 4]
    return float(np.mean([word in _words() for word in written]))


# ------------------------------------------------------------------------------------------ who classifies

MINILM, SMOLLM2, WORDS = "MiniLM", "SmolLM2", "words counted"


@torch.no_grad()
def after_each_layer(model: GPT | BERT, rows: Sequence[Sequence[int]]) -> NDArray:
    """Two vectors of each text after each of the first layers, (2 · 6, texts, width).

    That of the token that has seen all, the decoder's last or [CLS], and the mean of all but the first.
    """
    lengths = torch.tensor([len(row) for row in rows])
    device = model.token_embedding.weight.device
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    if isinstance(model, BERT):
        with probing.recorded(model) as seen:
            model(ids, mask=real.to(device))
        streams, whole = seen.streams, torch.zeros_like(lengths)
    else:
        streams, whole = [model.embed(ids)], lengths - 1  # causal: padding behind a text changes nothing
        for layer in model.stack.blocks[:N_LAYERS]:
            streams.append(layer(streams[-1]))
    x = torch.stack(streams[-N_LAYERS:]).cpu()  # (6, B, T, D)
    # Without the first token: SmolLM2's is huge and the same for every text (notebook 06).
    inner = (real & (torch.arange(ids.shape[1]) > 0))[..., None]
    means = (x * inner).sum(2) / inner.sum(1)
    return torch.cat([x[:, torch.arange(len(rows)), whole], means]).numpy()


def told(candidates: Sequence[tuple[Any, Any]], answers: NDArray, seed: int) -> NDArray:
    """Which reviews a probe tells that has not seen them, (reviews,); a seed cuts them into fifths.

    Args:
        candidates: classifiers and what each reads; for each fifth the one that does best on the other four.
    """
    fifths = StratifiedKFold(5, shuffle=True, random_state=seed)
    right = np.stack([cross_val_predict(probe, x, answers, cv=fifths) == answers for probe, x in candidates])
    found = np.zeros(len(answers), dtype=bool)
    for others, own in fifths.split(answers, answers):
        found[own] = right[np.argmax(right[:, others].mean(1)), own]
    return found


def probes(
    smollm2: tuple[GPT, BPETokenizer], minilm: tuple[BERT, Any], seed: int = 0, *, cuts: int = 3
) -> dict[str, NDArray]:
    """For each of 448 reviews the share of probes that tell whether it is positive, by what they read.

    Args:
        smollm2, minilm: read as they are, six layers of each.
        seed: of the ways to cut the reviews into fifths.
        cuts: how many ways.
    """
    learn, test = reviews()
    found = sorted(learn + test, key=lambda review: len(review.text))  # batches of equal length are faster
    read, positive = [review.text for review in found], np.array([review.positive for review in found])
    framed: dict[str, tuple[GPT | BERT, list[list[int]]]] = {
        MINILM: (minilm[0], [minilm[1].frame(text)[0] for text in read]),
        SMOLLM2: (smollm2[0], [smollm2[1].encode(text) for text in read]),
    }
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    candidates: dict[str, list[tuple[Any, Any]]] = {}
    for name, (model, rows) in framed.items():
        batches = range(0, len(rows), 32)
        vectors = [after_each_layer(model, rows[at : at + 32]) for at in bar(batches, f"{name} reads")]
        candidates[name] = [(linear, x) for x in np.concatenate(vectors, axis=1)]
    candidates[WORDS] = [
        (make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=c)), read) for c in (1, 3, 10)
    ]
    return {
        name: np.mean([told(some, positive, start) for start in starts_of(seed, cuts)], axis=0)
        for name, some in candidates.items()
    }


# ------------------------------------------------------------------------------------------ both kinds


@dataclass(frozen=True)
class EncoderOrDecoder:
    """What each of two kinds does with the other's task; "at least" and "at most" are ends of an interval.

    Args:
        filled, trying: see `fill` and `by_trying`.
        texts: see `writing`.
        probed: see `probes`.
    """

    filled: Gaps
    trying: Gaps
    texts: Mapping[str, Sequence[str]]
    probed: Mapping[str, NDArray]

    @property
    def late(self) -> float:
        """The bits that the decoder needs more in one pass, at least."""
        return interval(self.filled.bits(ONE_PASS) - self.filled.bits(BOTH_PASS))[0]

    @property
    def tried(self) -> float:
        """The bits that it needs less than the encoder when it tries every character, at least."""
        return interval(self.filled.bits(BOTH_PASS) - self.trying.bits(TRYING.format(15)))[0]

    @property
    def decoder_writes(self) -> float:
        """The share of real words that the decoder writes."""
        return real(self.texts[BEFORE])

    @property
    def _encoder_writes(self) -> float:
        return max(real(self.texts[BOTH]), real(self.texts[AGAIN]))

    @property
    def behind(self) -> float:
        """The points that the encoder has less, going over its text again or not."""
        return 100 * (self.decoder_writes - self._encoder_writes)

    @property
    def scraps(self) -> float:
        """The points that it has less than counts of three characters."""
        return 100 * (real(self.texts[COUNTS_3]) - self._encoder_writes)

    def _points(self, name: str, other: str) -> NDArray:
        """How many more one tells than the other, of each review."""
        return 100 * (self.probed[name] - self.probed[other])

    @property
    def encoder_told(self) -> float:
        """The points that an encoder's vectors tell more than words counted."""
        return float(self._points(MINILM, WORDS).mean())

    @property
    def decoder_told(self) -> float:
        """The same of as many layers of a decoder."""
        return float(self._points(SMOLLM2, WORDS).mean())

    @property
    def lead(self) -> float:
        """The points that the encoder's tell more than the decoder's, at least."""
        return interval(self._points(MINILM, SMOLLM2))[0]


def encoder_or_decoder(
    smollm2: tuple[GPT, BPETokenizer], minilm: tuple[BERT, Any], seed: int = 0
) -> EncoderOrDecoder:
    """Does masked modelling suit encoders that classify, and next-word prediction decoders that write?

    Rival: each at the other's task: the decoder fills gaps by trying, the first six layers of SmolLM2
        classify; the encoder goes over its text again, and counts write.
    Equal for both: gaps and writing: body, start, text, steps. Reviews: six layers, the choice of the best
        one and of two kinds of vector, the ways to cut, the probe.
    Does not show: which question makes the better classifier. MiniLM and SmolLM2 differ in width, in what
        they read, and in what for: MiniLM was trained on pairs of sentences, too. Weller et al. 2025 (Ettin,
        arXiv 2507.11412) trained both kinds alike. The stored readers are of one start.

    Args:
        smollm2, minilm: see `probes`.
        seed: of gaps, beginnings, draws and cuts.
    """
    return EncoderOrDecoder(fill(seed), by_trying(seed), writing(seed), probes(smollm2, minilm, seed))


# ------------------------------------------------------------------------------------------ sentence-pairs

KINDS = "another document", "the same document", "exchanged"
Row = tuple[Sentence, Sentence, Sentence, Sentence]


def pairs(seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Pairs to learn from and pairs of other documents to test: a sentence and the one right after it, and
    one of another document and of the same.
    """
    random = Generator().manual_seed(seed)
    prose = {name: " ".join(document.split()) for name, document in python_topics().items()}
    documents: dict[str, list[Sentence]] = {}
    for sentence in sentences(python_topics(), 8):
        if len(sentence.words) <= 24:
            documents.setdefault(sentence.document, []).append(sentence)
    ordered = [*documents.values()]
    shuffled = [ordered[place] for place in torch.randperm(len(ordered), generator=random)]

    def draw(documents: Sequence[list[Sentence]]) -> Iterator[Row]:
        for document in documents:
            others = [each for each in documents if each is not document]
            for pair in pairwise(document):
                if " ".join(each.text for each in pair) in prose[pair[0].document]:
                    same = any_of([each for each in document if each not in pair], random)
                    yield *pair, any_of(any_of(others, random), random), same

    first, second = ([each for each in part if len(each) >= 4] for part in (shuffled[::2], shuffled[1::2]))
    return [*draw(first)], [*draw(second)]


def compared(u: Tensor, v: Tensor) -> NDArray:
    """What a head sees of two vectors; the last part knows their order."""
    return torch.cat([u * v, (u - v).abs(), u - v], dim=1).numpy()


def judged(good: NDArray, *others: NDArray) -> dict[str, NDArray]:
    """For each pair 1 where the next sentence scores higher than the other, 1/2 where both do alike."""
    return {kind: (good > bad) + 0.5 * (good == bad) for kind, bad in zip(KINDS, others, strict=True)}


def by_shared_words(rows: Sequence[Row], letters: int = 1) -> dict[str, NDArray]:
    """The next sentence as the one that shares more of its words; of those with so many letters."""

    def shared(one: Sentence, other: Sentence) -> float:
        a, b = ({word for word in each.words if len(word) >= letters} for each in (one, other))
        return len(a & b) / max(len(a | b), 1)

    nearer, far, near = (np.array([shared(row[0], row[n]) for row in rows]) for n in (1, 2, 3))
    return judged(nearer, far, near, nearer)


def sentence_pairs(minilm: tuple[BERT, Any], seed: int = 0) -> dict[str, dict[str, NDArray]]:
    """How often the sentence that follows is told from another one, by the way of telling and the kind.

    Rival: MiniLM's plain cosine, and shared words. Equal for all: the held-out pairs; see `judged`.
    Does not show: what BERT's [CLS] learns. Heads are linear and see two finished vectors of MiniLM; no token
        of a model is trained on pairs here. It says what such an answer takes.

    Args:
        minilm: read as it is.
        seed: of the documents that are held out and of what is drawn.
    """
    lesson, test = pairs(seed)
    found = sorted({each.text for row in lesson + test for each in row}, key=len)  # of like length together
    with torch.no_grad():
        batches = bar(range(0, len(found), 24), "sentences")
        parts = [sentence_embedding(*minilm, found[at : at + 24]).cpu() for at in batches]
    vector = dict(zip(found, torch.cat(parts), strict=True))
    a, b, c, d = (torch.stack([vector[row[n].text] for row in lesson]) for n in range(4))
    p, q, r, s = (torch.stack([vector[row[n].text] for row in test]) for n in range(4))
    right = {}
    for kind, bad in zip(KINDS, ((a, c), (a, d), (b, a)), strict=True):
        x, said = np.concatenate([compared(a, b), compared(*bad)]), [1] * len(lesson) + [0] * len(lesson)
        head = LogisticRegression(C=1, max_iter=1000).fit(x, said)
        scores = [head.decision_function(compared(*each)) for each in ((p, q), (p, r), (p, s), (q, p))]
        right[f"head, trained on {kind}"] = judged(*scores)
    nearer, far, near = ((p * other).sum(1).numpy() for other in (q, r, s))
    return right | {
        "MiniLM's cosine": judged(nearer, far, near, nearer),
        "shared words": by_shared_words(test),
    }
