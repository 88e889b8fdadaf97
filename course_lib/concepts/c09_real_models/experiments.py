"""The experiments of notebook 09: a file that becomes a model, and what else such models do.

`any_data` decides the claim; the others measure what the notebook's cells build.
"""

import ast
import copy
import inspect
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Generator, Tensor, nn

from course_lib import data, readers
from course_lib.attention import KVCache
from course_lib.blocks import LayerNorm, RMSNorm, TransformerStack, initialise
from course_lib.claims import Trained, trains
from course_lib.costs import alternate
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import seeded
from course_lib.generation import generate, new_tokens
from course_lib.objectives import token_loss
from course_lib.patches import frames, patchify
from course_lib.positions import PositionEmbedding
from course_lib.pretrained import chat_prompt, sentence_embedding
from course_lib.training import TrainingConfig, bar, starts_of, train

STEPS = {"pictures": 150, "sounds": 150, "reviews": 60}
RATES: Mapping[str, Any] = {"learning_rate": 0.003, "muon_learning_rate": 0.02, "weight_decay": 0.05}
SHARED, OWN, ORDERS = "one stack for all", "its own stack", "one stack, other orders"
ALONE, RIVAL, GUESSING = "each vector alone", "best older method", "guessing"
PATIENT = "each vector alone, 3 x the steps"

LABELS = ("positive", "negative")

Model = tuple[Any, Any]  # a real model and its tokenizer
Shares = Mapping[str, tuple[float, ...]]


class Kind(NamedTuple):
    """One kind of input; the last third is held out.

    Args:
        x: lists of vectors (N, how many, width), of mean 0 and spread 1.
        mask: (N, how many), False where there is nothing: padding, and paper.
        y: labels (N,).
        texts: from which they come, if any.
    """

    x: Tensor
    mask: Tensor
    y: Tensor
    texts: tuple[str, ...] = ()

    @property
    def n_known(self) -> int:
        """How many are not held out."""
        return 2 * len(self.y) // 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many vectors, of which width, and how many classes."""
        return self.x.shape[1], self.x.shape[2], int(self.y.max()) + 1


def kinds(minilm: Model | None, seed: int = 0) -> dict[str, Kind]:
    """Patches of digits, frames of melodies, words of reviews; without MiniLM no reviews.

    Args:
        minilm: its table of tokens makes vectors of words.
        seed: of the melodies, and of which others are held out.
    """
    random = torch.Generator().manual_seed(seed)
    images, digits = (torch.cat(pair) for pair in zip(*data.digits(seed=seed), strict=True))
    waves, contours = data.sounds(1500, generator=random)
    spectra = torch.fft.rfft(frames(waves, 200, 200) * torch.hann_window(200)).abs()
    found = {
        "pictures": _kind(patchify(images, 2), digits),
        "sounds": _kind((spectra + 0.01).log(), contours),
    }
    if minilm:
        model, tokenizer = minilm
        table = model.token_embedding.weight.detach().cpu()
        reviews = [review for part in data.reviews() for review in part]
        reviews = [reviews[n] for n in torch.randperm(len(reviews), generator=random)]
        rows = [table[tokenizer.encode(review.text)] for review in reviews]
        positive = torch.tensor([int(review.positive) for review in reviews])
        words = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        found["reviews"] = _kind(words, positive, tuple(review.text for review in reviews))
    return found


def _kind(x: Tensor, y: Tensor, texts: tuple[str, ...] = ()) -> Kind:
    known = x[: 2 * len(x) // 3]
    standard = (x - known.mean((0, 1))) / (known.std((0, 1)) + 0.001)
    return Kind(standard, x.abs().sum(-1) > 0, y, texts)


# ------------------------------------------------------------------------------------------ readers


class Reader(nn.Module):
    """An input layer, a stack, which others may share, and a head.

    Args:
        n_vectors, width, n_classes: see `Kind.shape`.
        stack: see `new_stack`.
        alone: each vector may attend to itself only.
    """

    def __init__(
        self, n_vectors: int, width: int, n_classes: int, stack: nn.Module, alone: bool = False
    ) -> None:
        super().__init__()
        self.alone = alone
        positions = PositionEmbedding(n_vectors, 32)
        nn.init.normal_(positions.weight, std=0.3)
        self.input_embedding = nn.Sequential(nn.Linear(width, 32), positions)
        self.stack = stack
        self.head = nn.Linear(32, n_classes)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """A score for each class."""
        seen = mask[:, None, None] & (torch.eye(x.shape[1]).bool() if self.alone else True)
        x = self.stack(self.input_embedding(x), mask=seen)
        return self.head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def new_stack() -> TransformerStack:
    """Two layers of width 32."""
    stack = TransformerStack(32, n_layers=2, n_heads=4, d_ff=64)
    initialise(stack, std=0.1)
    return stack


def learn(
    readers: Mapping[str, Any],
    given: Mapping[str, Kind],
    seed: int = 0,
    *,
    steps: Mapping[str, int] = STEPS,
) -> Mapping[str, Any]:
    """Train all readers together: batches of 32 of their kinds come in a random order.

    Args:
        readers: by kind; they may share a stack.
        given: the kinds.
        seed: of the order.
        steps: by kind.
    Returns: the readers.
    """
    random = torch.Generator().manual_seed(seed)
    turns = [name for name in readers for _ in range(steps[name])]
    streams = {name: _batches(name, given[name], random) for name in readers}
    order = torch.randperm(len(turns), generator=random).tolist()
    config = TrainingConfig(len(turns), min(20, len(turns)), **RATES)
    batches = (next(streams[turns[n]]) for n in order)
    train(nn.ModuleDict(readers), batches, _loss, config, progress=False)
    return readers


def _batches(name: str, kind: Kind, random: Generator) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    known = [part[: kind.n_known] for part in (kind.x, kind.mask, kind.y)]
    while True:
        for x, mask, y in data.batches(*known, batch_size=32, generator=random):
            yield name, x, mask, y


def _loss(readers: nn.ModuleDict, batch: tuple[str, Tensor, Tensor, Tensor]) -> Tensor:
    name, x, mask, y = batch
    return nn.functional.cross_entropy(readers[name](x, mask), y)


@torch.no_grad()
def right(reader: Any, kind: Kind, order: Tensor | None = None) -> float:
    """The share of held-out lists that a reader names right, their vectors in this order."""
    x, mask, y = (part[kind.n_known :] for part in (kind.x, kind.mask, kind.y))
    if order is not None:
        x, mask = x[:, order], mask[:, order]
    return (reader(x, mask).argmax(-1) == y).float().mean().item()


def rivals(kind: Kind) -> dict[str, float]:
    """What methods without attention name right: on all vectors, on their mean, on counts of words."""
    average = (kind.x * kind.mask[..., None]).sum(1) / kind.mask.sum(1, keepdim=True)
    models = {"regression": LogisticRegression(C=0.1, max_iter=500), "SVM": SVC()}
    tried = [
        (f"{what}, {name}", model, vectors)
        for what, vectors in {"all": kind.x.flatten(1), "mean": average}.items()
        for name, model in models.items()
    ]
    n = kind.n_known
    if kind.texts:
        counts = TfidfVectorizer(sublinear_tf=True).fit(kind.texts[:n])
        tried.append(("TF-IDF", LogisticRegression(C=10), counts.transform(kind.texts)))
    return {name: model.fit(x[:n], kind.y[:n]).score(x[n:], kind.y[n:]) for name, model, x in tried}


# ------------------------------------------------------------------------------------------ any-data


@dataclass(frozen=True)
class AnyData:
    """What one stack for all kinds of input names right, and others.

    Args:
        shares: by kind and reader, one a start.
        tried: by kind, what each rival named right; of the last start.
        own, together: by kind, the readers of the last start.
    """

    shares: Mapping[str, Shares]
    tried: Mapping[str, Mapping[str, float]]
    own: Mapping[str, Any]
    together: Mapping[str, Any]

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The shares; means of the starts."""
        return {kind: {name: mean(each) for name, each in of.items()} for kind, of in self.shares.items()}

    @property
    def text(self) -> float:
        """The share of reviews that the one stack tells right."""
        return self.means["reviews"][SHARED]

    @property
    def image(self) -> float:
        """Of digits."""
        return self.means["pictures"][SHARED]

    @property
    def audio(self) -> float:
        """Of melodies."""
        return self.means["sounds"][SHARED]

    @property
    def price(self) -> float:
        """How many points better stacks of their own are; mean of the kinds."""
        return 100 * mean(of[OWN] - of[SHARED] for of in self.means.values())

    @property
    def mixing(self) -> float:
        """How many points more melodies it names than where each vector is alone, after as many steps."""
        return 100 * (self.audio - self.means["sounds"][ALONE])

    @property
    def alone(self) -> float:
        """How many points vectors that are alone are ahead, with three times the steps; mean of the kinds."""
        return 100 * mean(of[PATIENT] - of[SHARED] for of in self.means.values())

    @property
    def lead(self) -> float:
        """How many points it is ahead of the best rival, where it does best."""
        return 100 * max(of[SHARED] - of[RIVAL] for of in self.means.values())


@trains(
    Trained(
        sum(STEPS.values()),
        3 * sum(STEPS.values()),
        but="It has the width and the rates of the stack with attention: with these it gets as far.",
    )
)
def any_data(
    minilm: Model | None,
    seed: int = 0,
    *,
    starts: int = 3,
    steps: Mapping[str, int] = STEPS,
    patient: bool = True,
) -> AnyData:
    """Does one architecture, and even one stack, serve pictures, sounds and text?

    Rival: the same stack where each vector attends to itself alone, also with three times the steps; methods
        without attention.
    Equal for all: what is held out; for the stacks also the input layers, heads and rates, and but for the
        patient one the steps and batches.
    Does not show: larger data, where methods without attention may fall behind.

    Args:
        minilm: see `kinds`.
        seed: of the first start; each has its own weights, melodies and held-out thirds.
        starts: how many.
        steps: of training, by kind.
        patient: train the stack with three times the steps as well; the claim cannot be judged without it.
    """
    shares: dict[str, dict[str, tuple[float, ...]]] = {}
    for start in bar(starts_of(seed, starts), desc="starts"):
        given = kinds(minilm, start)
        with seeded(start):
            own = {name: Reader(*kind.shape, new_stack()) for name, kind in given.items()}
            one, another = new_stack(), new_stack()
            together = {name: Reader(*kind.shape, one) for name, kind in given.items()}
            alone = {name: Reader(*kind.shape, another, alone=True) for name, kind in given.items()}
            longer = copy.deepcopy(alone) if patient else {}
            orders = {
                name: [torch.randperm(kind.shape[0]) for _ in range(10)] for name, kind in given.items()
            }
        for group in (*({name: reader} for name, reader in own.items()), together, alone):
            learn(group, given, start, steps=steps)
        if longer:
            learn(longer, given, start, steps={name: 3 * n for name, n in steps.items()})
        tried = {name: rivals(kind) for name, kind in given.items()}
        for name, kind in given.items():
            found = {
                SHARED: right(together[name], kind),
                OWN: right(own[name], kind),
                ORDERS: mean(right(together[name], kind, order) for order in orders[name]),
                ALONE: right(alone[name], kind),
                **({PATIENT: right(longer[name], kind)} if longer else {}),
                RIVAL: max(tried[name].values()),
                GUESSING: 1 / kind.shape[2],
            }
            before = shares.get(name, dict.fromkeys(found, ()))
            shares[name] = {way: (*before[way], share) for way, share in found.items()}
    return AnyData(shares, tried, own, together)


# ----------------------------------------------------------------------------------------- a file that speaks

Weights = Mapping[str, Tensor]
Scores = Callable[..., Tensor]  # ids of a text, weights, parts: for each token the scores (V) of the next

TWO_TEXTS = (
    "The river rises in the hills north of the town. In spring, when the snow melts, it often floods the "
    "fields, and the farmers have to wait until May before they can sow.",
    "She had meant to leave early, but the meeting went on and on. When she came out it was raining, the "
    "last bus had gone, and nobody answered the phone.",
)


def answer(smollm2: Model, question: str, n_tokens: int = 24) -> str:
    """What the library's model answers, always taking the likeliest token."""
    model, tokenizer = smollm2
    ids = _on_device(model, tokenizer.encode(chat_prompt(question)))
    end = tokenizer.special_tokens["<|im_end|>"]
    new = torch.cat(list(new_tokens(model, ids, n_tokens, eos_id=end))).tolist()
    return tokenizer.decode([token for token in new if token != end])


def n_lines(*functions: Callable[..., Any]) -> int:
    """How many lines some functions have, without comments and docstrings.

    Example:
        >>> n_lines(n_lines)
        8
    """
    found = 0
    for function in functions:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert isinstance(definition, ast.FunctionDef)
        body = definition.body[1:] if ast.get_docstring(definition) else definition.body
        found += 1 + sum(ast.unparse(statement).count("\n") + 1 for statement in body)
    return found


def count(tensors: Mapping[str, Any]) -> int:
    """How many numbers arrays of some shapes hold.

    Example:
        >>> count({"one": torch.zeros(2, 3), "two": torch.zeros(5)})
        11
    """
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def counted(tensors: Mapping[str, Any], parts: Mapping[str, str]) -> dict[str, int]:
    """How many numbers each part holds.

    Args:
        tensors: by name.
        parts: what the name of a part's arrays has; of several the last counts.
    """
    found = dict.fromkeys(parts, 0)
    for name, tensor in tensors.items():
        *_, part = [part for part, sign in parts.items() if sign in name]
        found[part] += math.prod(tensor.shape)
    return found


def coarser(weights: Weights, rounded: Callable[[Tensor, int], Tensor], bits: int) -> dict[str, Tensor]:
    """The weights with the layers' matrices rounded; the table and the norms stay as they are."""
    return {
        name: rounded(array, bits) if name.startswith("blk.") and array.ndim == 2 else array
        for name, array in weights.items()
    }


def manual_nats(scores: Scores, weights: Weights, tokenizer: Any, n_tokens: int = 160) -> float:
    """The mean loss on the beginning of a page of Python's manual."""
    ids = tokenizer.encode(data.python_topics()["assert"])[:n_tokens]
    return F.cross_entropy(scores(ids[:-1], weights), torch.tensor(ids[1:])).item()


def two_texts_nats(scores: Scores, weights: Weights, tokenizer: Any, **parts: Any) -> float:
    """The mean loss on two short texts, both cut to the length of the shorter one."""
    rows = [tokenizer.encode(text) for text in TWO_TEXTS]
    n = min(map(len, rows))
    losses = [F.cross_entropy(scores(row[: n - 1], weights, **parts), torch.tensor(row[1:n])) for row in rows]
    return torch.stack(losses).mean().item()


def _on_device(model: nn.Module, ids: Sequence[int]) -> Tensor:
    return torch.tensor([ids], device=next(model.parameters()).device)


# ------------------------------------------------------------------------------------------ search, and a map


def embed(minilm: Model, texts: Sequence[str]) -> Tensor:
    """A vector for each text (N, D); texts of about the same length are read together."""
    model, tokenizer = minilm
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    found = torch.zeros(len(texts), model.config.d_model)
    with torch.no_grad():
        for some in (order[i : i + 32] for i in range(0, len(order), 32)):
            found[some] = sentence_embedding(model, tokenizer, [texts[n] for n in some]).cpu()
    return found


def place(scores: Tensor, right: Sequence[int]) -> float:
    """At which place the best right one stands, from 1 on; among equals in the middle.

    Example:
        >>> place(torch.tensor([0.5, 0.9, 0.7]), [0, 2])
        2.0
    """
    best = scores[list(right)].max()
    return 1 + (scores > best).sum().item() + ((scores == best).sum().item() - 1) / 2


def places_found(minilm: Model, vectors: Tensor) -> dict[str, tuple[list[float], list[float]]]:
    """Where three searches put the answers to questions in other words, and to those in the same words.

    Args:
        minilm: the model.
        vectors: what `embed` makes of the sentences of `data.questions`.
    """
    sentences, asked = data.questions()
    others, same = ([q for q in asked if q.same_words is kind] for kind in (False, True))
    texts = [question.asks for question in others + same]
    ways = {
        "MiniLM": embed(minilm, texts) @ vectors.mT,
        "its table alone": _by_table(minilm, sentences, texts),
        "TF-IDF": _by_counts(sentences, texts),
    }
    found = {}
    for name, scored in ways.items():
        each = [place(row, q.right) for row, q in zip(scored, others + same, strict=True)]
        found[name] = each[: len(others)], each[len(others) :]
    return found


def _by_counts(texts: Sequence[str], queries: Sequence[str]) -> Tensor:
    counts = TfidfVectorizer(sublinear_tf=True).fit(texts)
    return torch.tensor((counts.transform(queries) @ counts.transform(texts).T).toarray())


def _by_table(minilm: Model, texts: Sequence[str], queries: Sequence[str]) -> Tensor:
    """Tokens' rows averaged, rare ones weighted more and the common mean taken away."""
    model, tokenizer = minilm
    seen = Counter(token for text in texts for token in set(tokenizer.encode(text)))

    def averaged(text: str) -> Tensor:
        tokens = tokenizer.encode(text)
        weights = torch.tensor([math.log(len(texts) / (1 + seen[token])) for token in tokens])
        return (model.token_embedding.weight[tokens].detach().cpu() * weights[:, None]).mean(0)

    rows, columns = (torch.stack([averaged(text) for text in some]) for some in (queries, texts))
    rows, columns = rows - columns.mean(0), columns - columns.mean(0)
    return F.normalize(rows, dim=-1) @ F.normalize(columns, dim=-1).mT


# --------------------------------------------------------------------------------- what changed, and what for


def beyond(n_known: int = 32, n_read: int = 128, n_steps: int = 250, seed: int = 0) -> dict[str, Tensor]:
    """Bits at each place, by kind of positions, for models of one layer that learned on `n_known` places."""
    known, unread = readers.texts()
    test = next(data.windows(unread, n_read, 64, Generator().manual_seed(99)))
    config = TrainingConfig(n_steps, warmup_steps=10, learning_rate=0.01, muon_learning_rate=0.03)
    shape: dict[str, Any] = {"vocab_size": 98, "max_seq_len": n_read, "d_model": 64, "n_heads": 4}

    def loss(model: GPT, ids: Tensor) -> Tensor:
        return token_loss(model(ids[:, :-1]), ids[:, 1:])

    found = {}
    kinds_of_positions: tuple[Any, ...] = ("learned", "rotary")
    for kind in kinds_of_positions:
        with seeded(seed):
            model = GPT(GPTConfig(**shape, n_layers=1, d_ff=128, positions=kind))
        batches = data.windows(known, n_known, 16, Generator().manual_seed(seed))
        train(model, batches, loss, config, progress=False)
        with torch.no_grad():
            losses = F.cross_entropy(model(test[:, :-1]).mT, test[:, 1:], reduction="none")
        found[kind] = losses.mean(0) / math.log(2)
    return found


def norm_times(n_tokens: int = 160) -> dict[str, float]:
    """Microseconds for a norm of some tokens: torch's two, and both written out in its operations."""
    x, scale, shift = torch.randn(n_tokens, 576), torch.ones(576), torch.zeros(576)

    def written_rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale

    def written_layer(x: Tensor) -> Tensor:
        return written_rms(x - x.mean(-1, keepdim=True)) + shift

    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "LayerNorm, written out": written_layer,
        "RMSNorm, written out": written_rms,
        "LayerNorm, torch's own": LayerNorm(576),
        "RMSNorm, torch's own": RMSNorm(576),
    }

    def often(way: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(100):
                way(x)

        return run

    with torch.no_grad():
        times = alternate([often(way) for way in ways.values()], rounds=5)
    return {name: 1e4 * min(each) for name, each in zip(ways, times, strict=True)}


# -------------------------------------------------------------------------------------------------- surprises


@torch.no_grad()
def ranked(smollm2: Model, labels: Sequence[str], n_reviews: int = 20, seed: int = 0) -> float:
    """How often the model ranks a good review above a bad one, after two examples with these labels.

    Args:
        smollm2: it reads a review and is asked whether "positive" or "negative" comes next.
        labels: of the two examples, a good review and a bad one; none: no examples.
        n_reviews: how many are ranked; the examples are none of them.
        seed: of the choice.
    Returns: the share of pairs (AUC); 0.5 is guessing.
    """
    model, tokenizer = smollm2
    every = [review for part in data.reviews() for review in part]
    order = torch.randperm(len(every), generator=Generator().manual_seed(seed)).tolist()
    test, others = [every[n] for n in order[:n_reviews]], [every[n] for n in order[n_reviews:]]
    examples = [next(r for r in others if r.positive is good) for good in (True, False)]
    shown = [f"Review: {r.text}\nSentiment: {label}\n\n" for r, label in zip(examples, labels, strict=False)]
    rows = [torch.tensor(tokenizer.encode(f"Review: {review.text}\nSentiment:")) for review in test]
    last = torch.tensor([len(row) - 1 for row in rows])
    device = next(model.parameters()).device
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)  # what comes later is not seen
    cache = _read_once(model, tokenizer.encode("".join(shown)), len(rows), ids.shape[1])
    hidden = model.stack(model.embed(ids, cache), cache=cache)[torch.arange(len(rows)), last]
    good, bad = (model.lm_head(hidden)[:, tokenizer.encode(f" {label}")[0]] for label in LABELS)
    leads = (good - bad).tolist()
    above = [lead for lead, review in zip(leads, test, strict=True) if review.positive]
    below = [lead for lead, review in zip(leads, test, strict=True) if not review.positive]
    return mean((a > b) + 0.5 * (a == b) for a, b in product(above, below))


def _read_once(model: GPT, ids: Sequence[int], n_rows: int, n_more: int) -> list[KVCache] | None:
    """The cache after a beginning that all rows share, with room for more; None without a beginning."""
    if not ids:
        return None
    first = model.new_cache(1, len(ids))
    model.next_token_logits(_on_device(model, ids), first)
    for_all = model.new_cache(n_rows, len(ids) + n_more)
    for one, many in zip(first, for_all, strict=True):
        many.append(*(each.expand(n_rows, -1, -1, -1) for each in (one.keys, one.values)))
    return for_all


def written(smollm2: Model, prompt: str, n_tokens: int) -> list[int]:
    """The new tokens after a prompt, one in each pass, up to the end of the answer."""
    model, tokenizer = smollm2
    ids = _on_device(model, tokenizer.encode(prompt))
    end = tokenizer.special_tokens["<|im_end|>"]
    return generate(model, ids, n_tokens, eos_id=end)[0, ids.shape[1] :].tolist()
