"""What notebook 03 needs of living models: words in one place, a function in all layers, a translator."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from course_lib import data, probing
from course_lib.attention import MultiHeadAttention, with_one_mask
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.decoder import GPT
from course_lib.encoder import BERT
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_lib.generation import continuation
from course_lib.objectives import token_losses
from course_lib.training import TrainingConfig, train

START, END = 1, 0  # of a sentence, in the numbers of `data.translations`
LONGEST = 12  # words of a German sentence, with its start and its end
PARTS = ("English at English", "German at German", "German at English")  # the translator's attentions

# ---------------------------------------------------------------------- MiniLM


def common_words(reader: WordPiece) -> list[str]:
    """5,053 words that MiniLM knows whole: of the commonest tokens those of three letters or more."""
    return [word for word in reader.tokens[1996:8000] if word.isalpha() and len(word) > 2]


@torch.no_grad()
def alone(minilm: BERT, reader: WordPiece, words: Sequence[str]) -> Float[Tensor, "N D"]:
    """MiniLM's vector of each word, read by itself.

    Args:
        words: each a single token.
    Raises: ValueError: a word that is cut.
    """
    ids = _framed(minilm, reader, words)
    return torch.cat([minilm(part)[:, 1] for part in ids.split(500)])


@torch.no_grad()
def keys_in_place(
    minilm: BERT, reader: WordPiece, words: Sequence[str], sentence: str, place: int
) -> NDArray[np.float32]:
    """The keys that words have in the first layer, each in the same place of a sentence.

    Args:
        words: each a single token.
        sentence: with {} where they stand.
        place: which token of the sentence that is, counted from 0, with the mark in front.
    Returns: (heads, words, numbers in a key).
    Raises: ValueError: a word that is cut.
    """
    ids = _framed(minilm, reader, [sentence.format(word) for word in words])
    vectors = minilm.token_embedding(ids) + minilm.segment_embedding(torch.zeros_like(ids))
    enters = minilm.embedding_norm(minilm.position_embedding(vectors))[:, place]
    layer = next(part for part in minilm.modules() if isinstance(part, MultiHeadAttention))
    keys: NDArray[np.float32] = layer.k_proj(enters).unflatten(-1, (-1, layer.d_head)).transpose(0, 1).numpy()
    return keys


def _framed(minilm: BERT, reader: WordPiece, texts: Sequence[str]) -> Int[Tensor, "N T"]:
    rows = [reader.frame(text)[0] for text in texts]
    longer = [text for text, row in zip(texts, rows, strict=True) if len(row) != len(rows[0])]
    if longer:
        raise ValueError(f"all must be cut into as many tokens as {texts[0]!r}; {longer[0]!r} is not")
    return torch.tensor(rows, device=next(minilm.parameters()).device)


@contextmanager
def mixing_by(model: torch.nn.Module, attend: Callable[..., Tensor]) -> Iterator[None]:
    """Inside, every attention of a model mixes by this function.

        with mixing_by(minilm, attend):
            minilm(ids)

    Args:
        model: with at least one `MultiHeadAttention`.
        attend: gets q, k, v and the mask, see `with_one_mask`.
    Raises: ValueError: it has none.
    """
    layers = [part for part in model.modules() if isinstance(part, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no attention")
    before = [layer.attend for layer in layers]
    for layer in layers:
        layer.attend = with_one_mask(attend)
    try:
        yield
    finally:
        for layer, earlier in zip(layers, before, strict=True):
            layer.attend = earlier


# ---------------------------------------------------------------------- SmolLM2


def goes_on(chat: tuple[GPT, BPETokenizer], text: str, n_tokens: int = 12) -> str:
    """What a model writes behind a text, always the likeliest token; line breaks become spaces.

    Args:
        chat: a model and its tokenizer.
        n_tokens: at most; it stops where its turn in a conversation ends.
    """
    return " ".join(continuation(*chat, text, n_tokens, chat[1].special_tokens.get("<|im_end|>")).split())


@torch.no_grad()
def losses_by_place(chat: tuple[GPT, BPETokenizer], n: int = 4, length: int = 128) -> Float[Tensor, " T"]:
    """What a model loses at each place of plain texts, in nats, a mean over pieces of reviews.

    Args:
        chat: a model and its tokenizer.
        n: pieces.
        length: tokens in each.
    Returns: one number for each token that is followed by another.
    """
    model, tokenizer = chat
    text = " ".join(review.text for half in data.reviews() for review in half)
    ids = torch.tensor(tokenizer.encode(text)[: n * length], device=next(model.parameters()).device)
    rows = ids.view(n, length)
    return token_losses(model(rows)[:, :-1], rows[:, 1:]).view(n, -1).mean(0)


# ---------------------------------------------------------------------- a translator


@dataclass(frozen=True)
class Translator:
    """A small Transformer of 2017: one layer reads English, one writes German.

    Args:
        model: after training.
        untrained: the same before it.
        english, german: which number is which word.
        source, target: sentences that it has not seen, and their German.
    """

    model: EncoderDecoder
    untrained: EncoderDecoder
    english: data.Vocabulary
    german: data.Vocabulary
    source: Int[Tensor, "N S"]
    target: Int[Tensor, "N T"]

    def writes(self, *, blind: bool = False) -> Int[Tensor, "N T"]:
        """What it writes for the new sentences, one row each.

        Args:
            blind: a mask hides all of the English.
        """
        mask: Bool[Tensor, "N S"] = torch.zeros_like(self.source, dtype=torch.bool)
        mask = mask if blind else self.source > 0
        most = self.target.shape[1] - 1
        written = self.model.translate(
            self.source, bos_id=START, eos_id=END, max_new_tokens=most, source_mask=mask
        )
        return F.pad(written, (0, most - written.shape[1]), value=END)

    def right(self) -> float:
        """The share of new sentences that it translates word for word."""
        return (self.writes() == self.target[:, 1:]).all(1).float().mean().item()

    def right_without(self, part: str) -> float:
        """The same where one attention of `PARTS` gives nothing."""
        layer = PARTS.index(part)
        with probing.heads_off(self.model, [(layer, head) for head in range(self.model.config.n_heads)]):
            return self.right()

    def texts(self, written: Int[Tensor, "N T"]) -> list[str]:
        """Rows of German as text."""
        return [" ".join(_words(self.german, row)) for row in written]

    def looks(self, having: str) -> tuple[list[str], list[str], list[Float[Tensor, "T S"]]]:
        """Who looks at whom in the first new sentence with an English word, before training and after.

        Args:
            having: the English word.
        Returns: the English words, the German ones, and twice the weights of each German word that is to be
            written for each English one, a mean over the heads.
        Raises: ValueError: no sentence has it.
        """
        sentences = [_words(self.english, row) for row in self.source]
        place = next((number for number, words in enumerate(sentences) if having in words), None)
        if place is None:
            raise ValueError(f"no new sentence has the word {having!r}")
        source, target = self.source[[place]], self.target[[place]]
        english, german = sentences[place], _words(self.german, target[0])
        maps = []
        for model in (self.untrained, self.model):
            with torch.no_grad(), probing.weights_recorded(model) as seen:
                model(source, target[:, :-1], source > 0)
            maps.append(seen[PARTS.index("German at English")][0].mean(0)[: len(german), : len(english)])
        return english, german, maps


def translator(n: int = 6000, epochs: int = 4, seed: int = 0) -> Translator:
    """A translator that is trained here, on a core in some seconds.

    Args:
        n: sentences, of which a tenth is kept for the test.
        epochs: how often it sees each.
        seed: of sentences, weights and their order.
    """
    torch.manual_seed(seed)
    english, german, pairs, new = data.translations(n, torch.Generator().manual_seed(seed))
    config = EncoderDecoderConfig(len(english), len(german), LONGEST, d_model=32, n_layers=1, n_heads=2)
    model = EncoderDecoder(config)
    untrained = copy.deepcopy(model)
    batches = [batch for _ in range(epochs) for batch in data.batches(*pairs, batch_size=64)]
    train(model, batches, _loss, TrainingConfig(len(batches), warmup_steps=30, learning_rate=0.006))
    return Translator(model, untrained, english, german, *new)


def _loss(model: EncoderDecoder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Each German word is asked for, with all of the English and the German before it in sight."""
    source, target = batch
    return F.cross_entropy(model(source, target[:, :-1], source > 0).mT, target[:, 1:])


def _words(vocabulary: data.Vocabulary, row: Tensor) -> list[str]:
    return vocabulary.decode(row[row > START])  # without the marks for start and end
