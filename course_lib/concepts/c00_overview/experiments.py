"""The experiments of notebook 00: what vectors tell, and which parts of a small model have to learn.

SmolLM2 runs where it was loaded, the small models on the CPU, on one core.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from course_lib.blocks import TransformerStack
from course_lib.bpe import BPETokenizer
from course_lib.claims import Trained, interval, trains
from course_lib.data import Review, Sentence, Vocabulary, python_sentences, reviews
from course_lib.decoder import GPT
from course_lib.device import one_core, seeded
from course_lib.training import bar, starts_of

DEPTHS = tuple(range(0, 31, 5))
N_WORDS, N_TOKENS = 12, 1000  # in a sentence, in the vocabulary
PLACES = ("start", "end", "mean")
FROZEN: Mapping[str, tuple[str, ...]] = {
    "nothing": (),
    "the head": ("head",),
    "the body": ("body",),
    "tables and body": ("tables", "body"),
}

Train = Callable[..., object]  # (model, seed, steps, rate)


# ------------------------------------------------------------------------------------------ the reviews


@dataclass(frozen=True)
class Reading:
    """What a model makes of the reviews.

    Args:
        depths: how many layers were passed.
        last: the vector of each review's last token at each depth (reviews, depths, width).
        mean: the mean of all its tokens' but the first.
    """

    depths: tuple[int, ...]
    last: NDArray
    mean: NDArray


@functools.cache
def all_reviews() -> tuple[Review, ...]:
    """The 448 reviews, sorted by length: batches of equal length are faster."""
    learn, test = reviews()
    return tuple(sorted(learn + test, key=lambda review: len(review.text)))


def labels(question: str) -> NDArray:
    """What each review is: `positive` or not, or its `topic`."""
    return np.array([getattr(review, question) for review in all_reviews()])


def even_letters() -> NDArray:
    """Of each review whether it has an even number of letters."""
    return np.array([sum(map(str.isalpha, review.text)) % 2 == 0 for review in all_reviews()])


@torch.no_grad()
def after_each_layer(
    smollm2: tuple[GPT, BPETokenizer], texts: Sequence[str], depths: Sequence[int] = DEPTHS
) -> tuple[NDArray, NDArray]:
    """Two vectors of each text at each depth: the last token's, and the mean (texts, depths, width)."""
    model, tokenizer = smollm2
    device = next(model.parameters()).device
    rows = [torch.tensor(tokenizer.encode(text)) for text in texts]
    vectors = [model.embed(nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device))]
    for layer in model.stack.blocks:
        vectors.append(layer(vectors[-1]))
    stages = torch.stack([vectors[depth] for depth in depths], 1).cpu()
    ends = [stage[:, : len(row)] for stage, row in zip(stages, rows, strict=True)]  # without padding
    # The mean leaves out the first token, whose vector is huge and the same for every text (notebook 06).
    last, mean = [end[:, -1] for end in ends], [end[:, 1:].mean(1) for end in ends]
    return torch.stack(last).numpy(), torch.stack(mean).numpy()


def read_reviews(smollm2: tuple[GPT, BPETokenizer], depths: Sequence[int] = DEPTHS) -> Reading:
    """The vectors of all reviews, in the order of `all_reviews`."""
    texts = [review.text for review in all_reviews()]
    batches = [texts[start : start + 32] for start in range(0, len(texts), 32)]
    read = [after_each_layer(smollm2, batch, depths) for batch in bar(batches, desc="read")]
    last, mean = (np.concatenate(kind) for kind in zip(*read, strict=True))
    return Reading(tuple(depths), last, mean)


def head() -> Any:
    """One matrix, on scaled vectors."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01))


def held_out(classifier: Any, inputs: Any, answers: NDArray, seed: int) -> float:
    """The share of right answers; each fifth of the reviews is held out once, cut as the seed says."""
    fifths = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(classifier, inputs, answers, cv=fifths).mean())


def words_counted(question: str = "positive", seed: int = 0, *, cuts: int = 3) -> tuple[float, ...]:
    """How often a count of words tells what held-out reviews are, for several ways to cut them."""
    counting = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=3))
    texts = [review.text for review in all_reviews()]
    return tuple(held_out(counting, texts, labels(question), seed + cut) for cut in range(cuts))


# ------------------------------------------------------------------------------------------ layer by layer


@dataclass(frozen=True)
class BetterAndBetter:
    """Shares of held-out reviews whose sentiment is told right.

    Args:
        depths: how many layers were passed.
        last, mean: from these vectors, for each cut at each depth.
        counted: by counting words, for each cut.
    """

    depths: tuple[int, ...]
    last: tuple[tuple[float, ...], ...]
    mean: tuple[tuple[float, ...], ...]
    counted: tuple[float, ...]

    def at(self, depth: int) -> float:
        """From the last token at this depth; mean of the cuts."""
        place = self.depths.index(depth)
        return mean(cut[place] for cut in self.last)

    @property
    def peak(self) -> float:
        """At the best depth."""
        return max(map(self.at, self.depths))

    @property
    def nearly(self) -> int:
        """The first depth that is within two points of the best."""
        return next(depth for depth in self.depths if self.at(depth) > self.peak - 0.02)

    @property
    def gain(self) -> float:
        """The best depth's more than counting words."""
        return self.peak - mean(self.counted)

    @property
    def below(self) -> float:
        """The last token's after 10 layers, less those of the mean before the first."""
        return self.at(10) - mean(cut[0] for cut in self.mean)

    @property
    def middle(self) -> float:
        """After 15 layers, less those after 10."""
        return self.at(15) - self.at(10)

    @property
    def above(self) -> float:
        """After 30 layers, less those after 15."""
        return self.at(30) - self.at(15)


def better_and_better(
    smollm2: tuple[GPT, BPETokenizer], seed: int = 0, *, cuts: int = 3, reading: Reading | None = None
) -> BetterAndBetter:
    """Do the representations get better layer by layer, until one straight cut parts the answers?

    Rival: counting words with logistic regression; and the mean of the vectors before the first layer.
    Equal for both: the reviews, and the ways to cut them into fifths, one of which is held out.
    Does not show: a body that was trained for this question; reviews that were not written for a course.

    Args:
        smollm2: read as it is.
        seed: of the first way to cut.
        cuts: how many ways.
        reading: what `read_reviews` found already.
    """
    reading = reading or read_reviews(smollm2)
    positive = labels("positive")

    def probed(vectors: NDArray) -> tuple[tuple[float, ...], ...]:
        depths = range(len(reading.depths))
        return tuple(
            tuple(held_out(head(), vectors[:, depth], positive, seed + cut) for depth in depths)
            for cut in range(cuts)
        )

    counted = words_counted("positive", seed, cuts=cuts)
    return BetterAndBetter(reading.depths, probed(reading.last), probed(reading.mean), counted)


# ------------------------------------------------------------------------------------------ many tasks


@dataclass(frozen=True)
class ManyTasks:
    """Shares of held-out reviews that are told right, for each way to cut them.

    Args:
        sentiment, topic, parity: from the vectors after the last layer; parity: see `even_letters`.
        early_sentiment, early_topic: from the mean of the vectors before the first.
        counted_sentiment, counted_topic: by counting words.
    """

    sentiment: tuple[float, ...]
    topic: tuple[float, ...]
    parity: tuple[float, ...]
    early_sentiment: tuple[float, ...]
    early_topic: tuple[float, ...]
    counted_sentiment: tuple[float, ...]
    counted_topic: tuple[float, ...]

    @property
    def sentiment_gain(self) -> float:
        """More than by counting."""
        return mean(self.sentiment) - mean(self.counted_sentiment)

    @property
    def topic_gain(self) -> float:
        """More than by counting."""
        return mean(self.topic) - mean(self.counted_topic)

    @property
    def legible(self) -> float:
        """Topics told right; guessing gets 1 of 14."""
        return mean(self.topic)

    @property
    def even(self) -> float:
        """Reviews with an even number of letters, and others, told right."""
        return mean(self.parity)

    @property
    def sentiment_before(self) -> float:
        """Without the body, less than with it."""
        return mean(self.early_sentiment) - mean(self.sentiment)

    @property
    def topic_before(self) -> float:
        """Without the body, less than with it."""
        return mean(self.early_topic) - mean(self.topic)


def many_tasks(
    smollm2: tuple[GPT, BPETokenizer], seed: int = 0, *, cuts: int = 3, reading: Reading | None = None
) -> ManyTasks:
    """Do the vectors from which the next token is read hold other answers as well?

    Rival: counting words with logistic regression, and the mean of the vectors before the first layer.
    Equal for both: the reviews, and the ways to cut them into fifths, one of which is held out.
    Does not show: any other label, of which the number of letters, even or odd, is one that they lack; which
        depth is best for each.

    Args: as for `better_and_better`.
    """
    reading = reading or read_reviews(smollm2)
    answers = {question: labels(question) for question in ("positive", "topic")}

    def told(vectors: NDArray, answers: NDArray) -> tuple[float, ...]:
        return tuple(held_out(head(), vectors, answers, seed + cut) for cut in range(cuts))

    late = [told(reading.last[:, -1], of) for of in (*answers.values(), even_letters())]
    early = [told(reading.mean[:, 0], of) for of in answers.values()]
    return ManyTasks(*late, *early, *(words_counted(question, seed, cuts=cuts) for question in answers))


# ------------------------------------------------------------------------------------------ a direction


@dataclass(frozen=True)
class PairsCounted:
    """What counting pairs of neighbours tells of the direction of held-out sentences.

    Args:
        right: how often it is right.
        n_pairs: for how many pairs it stores a number.
    """

    right: float
    n_pairs: int


def pairs_counted() -> PairsCounted:
    """How often counting pairs of neighbours tells the direction of held-out sentences."""

    def texts(sentences: Sequence[Sentence]) -> tuple[list[str], list[int]]:
        words = [sentence.words[:N_WORDS] for sentence in sentences]
        both = [*words, *(row[::-1] for row in words)]
        return [" ".join(row) for row in both], [0] * len(words) + [1] * len(words)

    known, unread = python_sentences(n_words=N_WORDS)
    pairs = make_pipeline(CountVectorizer(ngram_range=(2, 2)), LogisticRegression())
    right = pairs.fit(*texts(known)).score(*texts(unread))
    return PairsCounted(right, len(pairs[0].vocabulary_))


@functools.cache
def sentences() -> tuple[Tensor, Tensor, int]:
    """Sentences to learn from and held-out ones (N, 12), as numbers, and the number of <cls>."""
    known, unread = python_sentences(n_words=N_WORDS)
    vocabulary = Vocabulary((sentence.words for sentence in known), size=N_TOKENS)
    learn, test = (
        torch.tensor([vocabulary.encode(sentence.words[:N_WORDS]) for sentence in side])
        for side in (known, unread)
    )
    return learn, test, vocabulary.encode(["<cls>"])[0]


def examples(ids: Tensor, place: str) -> tuple[Tensor, Tensor]:
    """Each sentence forwards (label 0), then each backwards (label 1); <cls> at the start or end, or none."""
    *_, cls = sentences()
    sides = {"start": (1, 0), "end": (0, 1), "mean": (0, 0)}[place]
    both = nn.functional.pad(torch.cat([ids, ids.flip(1)]), sides, value=cls)
    return both, torch.tensor([0, 1]).repeat_interleave(len(ids))


class Classifier(nn.Module):
    """Two tables, for words and places, a body and a head; as the notebook's cells write it.

    Args:
        place: where the head reads, one of `PLACES`.
        causal: each token sees only itself and those before it.
    """

    def __init__(self, place: str = "end", causal: bool = False) -> None:
        super().__init__()
        self.place = place
        self.tables = nn.ModuleList([nn.Embedding(N_TOKENS, 32), nn.Embedding(N_WORDS + 1, 32)])
        self.body = TransformerStack(d_model=32, n_layers=2, n_heads=4, causal=causal)
        self.head = nn.Linear(32, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """The scores of both directions (B, 2)."""
        words, places = self.tables
        out = self.body(words(ids) + places(torch.arange(ids.shape[1])))
        return self.head({"start": out[:, 0], "end": out[:, -1], "mean": out.mean(1)}[self.place])


def train(model: Any, seed: int, steps: int, rate: float = 0.003) -> None:
    """Train with AdamW on 32 sentences a step, each forwards and backwards; as the notebook's cells do it."""
    learn, *_ = sentences()
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(steps):
        chosen = torch.randint(len(learn), (32,), generator=random)
        ids, labels = examples(learn[chosen], model.place)
        loss = nn.functional.cross_entropy(model(ids), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@one_core()
def trained(
    seed: int = 0,
    *,
    steps: int = 150,
    frozen: Sequence[str] = (),
    make: Callable[..., Any] = Classifier,
    train: Train = train,
    **sizes: object,
) -> float:
    """The held-out accuracy of a new model.

    Args:
        seed: of its numbers and of the sentences that it sees.
        steps: of training.
        frozen: parts that stay random.
        make, train: see `training_updates_both`.
        sizes: what `make` is given.
    """
    with seeded(seed):
        model = make(**sizes)
    for part in frozen:
        getattr(model, part).requires_grad_(False)
    train(model, seed, steps)
    _, test, _ = sentences()
    with torch.no_grad():
        ids, labels = examples(test, model.place)
        return (model(ids).argmax(1) == labels).float().mean().item()


# ------------------------------------------------------------------------------------------ what learns


@dataclass(frozen=True)
class TrainingUpdatesBoth:
    """Held-out accuracies, one for each start.

    Args:
        parts: by what stays random.
        longer: the same after longer training, of nothing and of the body.
        by_rate: of the same two, by the rate of training: nothing after the steps of `parts`, the body after
            longer training; empty where only one rate was tried.
    """

    parts: Mapping[str, tuple[float, ...]]
    longer: Mapping[str, tuple[float, ...]]
    by_rate: Mapping[str, Mapping[float, tuple[float, ...]]]

    @property
    def full(self) -> float:
        """All parts trained."""
        return mean(self.parts["nothing"])

    @property
    def alone(self) -> float:
        """Only the head."""
        return mean(self.parts["tables and body"])

    @property
    def no_head(self) -> float:
        """With a random head, less `full`."""
        return mean(self.parts["the head"]) - self.full

    @property
    def short(self) -> float:
        """With a random body, less `full`."""
        return mean(self.parts["the body"]) - self.full

    @property
    def no_body(self) -> float:
        """With a random body, less all parts, both trained longer."""
        return mean(self.longer["the body"]) - mean(self.longer["nothing"])

    @property
    def late(self) -> float:
        """With a random body, trained longer, less all parts, each at its best rate."""
        best = {name: max(map(mean, found.values())) for name, found in self.by_rate.items()}
        return best["the body"] - best["nothing"]


@trains(
    Trained(
        150,
        450,
        rates=(0.003, 0.01, 0.03),
        but="The rival is the same model with a body that stays random: its width is the same.",
    )
)
def training_updates_both(
    seed: int = 0,
    *,
    starts: int = 3,
    steps: int = 150,
    longer: int = 450,
    rates: Sequence[float] = (0.003, 0.01, 0.03),
    make: Callable[..., Any] = Classifier,
    train: Train = train,
) -> TrainingUpdatesBoth:
    """Do both the head and the Transformer have to be trained?

    Rival: a random body that is never updated, with everything around it trained three times as long, at the
        best of three rates.
    Equal for both: the model, the sentences, their order, the rates, and, but for that rival, the steps.
    Does not show: other questions or other sizes.

    Args:
        seed: another seed has other starts.
        starts: how many.
        steps, longer: of training, and of the rival's.
        rates: that both are tried with; all other comparisons have the first.
        make: the model, with the parts tables, body and head.
        train: (model, seed, steps, rate) -> trains it.
    """
    usual, *others = rates
    runs = [(name, steps, usual) for name in FROZEN]
    runs += [(name, longer, usual) for name in ("nothing", "the body")]
    runs += [("nothing", steps, rate) for rate in others] + [("the body", longer, rate) for rate in others]
    found = {
        (name, n, rate): tuple(
            trained(start, steps=n, frozen=FROZEN[name], make=make, train=functools.partial(train, rate=rate))
            for start in starts_of(seed, starts)
        )
        for name, n, rate in bar(runs, desc="models")
    }
    return TrainingUpdatesBoth(
        parts={name: found[name, steps, usual] for name in FROZEN},
        longer={name: found[name, longer, usual] for name in ("nothing", "the body")},
        by_rate={
            name: {rate: found[name, n, rate] for rate in rates}
            for name, n in (("nothing", steps), ("the body", longer))
        },
    )


# ------------------------------------------------------------------------------------------ cls-token


@dataclass(frozen=True)
class ClsToken:
    """Held-out accuracies, one for each start.

    Args:
        shares: by whether the body is causal, and by the place where the head reads.
    """

    shares: Mapping[tuple[bool, str], tuple[float, ...]]

    @property
    def causal_start(self) -> float:
        """At the start of a causal body."""
        return mean(self.shares[True, "start"])

    @property
    def worst(self) -> float:
        """At the end, in the body that does less well."""
        return min(mean(self.shares[causal, "end"]) for causal in (False, True))

    @property
    def moved(self) -> float:
        """How far the start of an open body may lie from its end: see `farthest`."""
        return farthest(_less(self.shares[False, "start"], self.shares[False, "end"]))

    @property
    def pooled(self) -> float:
        """How far the mean of all tokens may lie from the end, in the body where it lies farther."""
        by_body = [_less(self.shares[causal, "mean"], self.shares[causal, "end"]) for causal in (False, True)]
        return max(map(farthest, by_body))


def _less(some: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(some, others, strict=True)]


def farthest(differences: Sequence[float]) -> float:
    """The end of the differences' interval that is farther from 0: if small, there is no difference.

    Two one-sided tests at 5 % each (Schuirmann 1987).
    """
    return max(map(abs, interval(differences)))


def cls_token(
    seed: int = 0,
    *,
    starts: int = 5,
    steps: int = 80,
    make: Callable[..., Any] = Classifier,
    train: Train = train,
) -> ClsToken:
    """Does a token at the end gather what the classifier needs, and does it take one?

    Rival: the mean of all vectors, which needs no token of its own, and the token at the start, as in BERT.
    Equal for both: the body, the sentences, their order, the steps.
    Does not show: bodies that were trained for longer, or for something else.

    Args:
        seed: another seed has other starts.
        starts: how many.
        steps, make, train: as for `training_updates_both`; `make` is given place and causal.
    """
    kinds = [(causal, place) for causal in (False, True) for place in PLACES]
    return ClsToken(
        {
            (causal, place): tuple(
                trained(start, steps=steps, make=make, train=train, place=place, causal=causal)
                for start in starts_of(seed, starts)
            )
            for causal, place in bar(kinds, desc="models")
        }
    )


# ------------------------------------------------------------------------------------------ cls-needed


@dataclass(frozen=True)
class ClsNeeded:
    """Held-out accuracies, one for each start.

    Args:
        token, pooled: by whether the body is causal: read from a token at the end, and from the mean of all
            vectors, without a token, after more steps.
    """

    token: Mapping[bool, tuple[float, ...]]
    pooled: Mapping[bool, tuple[float, ...]]

    @property
    def with_token(self) -> float:
        """With the token, in both bodies."""
        return mean(map(mean, self.token.values()))

    @property
    def needed(self) -> float:
        """Without it, less those with it."""
        return mean(map(mean, self.pooled.values())) - self.with_token


@trains(
    Trained(80, 240, but="The rival is the same model without its token: its width and rate are the same.")
)
def cls_needed(
    seed: int = 0,
    *,
    starts: int = 2,
    steps: int = 80,
    longer: int = 240,
    make: Callable[..., Any] = Classifier,
    train: Train = train,
) -> ClsNeeded:
    """Does a classifier have need of a token of its own?

    Rival: the mean of all vectors, trained three times as long. After as many steps: see `cls_token`.
    Equal for both: the bodies, an open and a causal one, the sentences, their order.
    Does not show: that no body needs one; other questions.

    Args:
        seed: another seed has other starts.
        starts: how many.
        steps, longer: of training, and of the rival's.
        make, train: as for `cls_token`.
    """

    def read(place: str, n: int) -> dict[bool, tuple[float, ...]]:
        return {
            causal: tuple(
                trained(start, steps=n, make=make, train=train, place=place, causal=causal)
                for start in starts_of(seed, starts)
            )
            for causal in (False, True)
        }

    return ClsNeeded(read("end", steps), read("mean", longer))
