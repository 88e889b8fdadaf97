"""All that the microscope shows of one text, as numbers: read in one pass, packed, and unpacked by the page.

A recording is a dictionary that JSON can hold: words and sizes as they are, and under `arrays` each array as
its type, its shape and its bytes (deflated, base64). Vectors have four bits a number, to be looked at only.
It comes from a running model or out of a file, and the page does not know from which.
"""

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from course_lib.blocks import TransformerBlock
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT
from course_lib.probing import (
    Parts,
    all_parts_of,
    heads_off,
    layers_skipped,
    logit_lens,
    resumed,
)
from course_lib.widgets.reading import Tokenizer, readable

SHOWN = 48  # next tokens that have their own score; the others are counted by their scores
BIN = 0.1  # width of a step in which the others are counted
WATCHED = 10  # next tokens that are asked for again with something off
BEST = 3  # words that a layer would say
WORDS = 4  # that a head brings
UNITS = 6  # of the MLP, the strongest
NUMBERS = 64  # of a vector of the stream
ROWS = 128  # vectors that are read through the head at once
AT_ONCE = 8  # tokens of which all layers are read without being asked

Recording = dict[str, Any]
Off = Sequence[tuple[int, int]]


class Reading:
    """One text as a model reads it, and all that the page may ask of it.

    Args:
        model: a `GPT`, or another model of our blocks that is called with ids, which then has no next word.
        tokenizer: its own.
        ids: the tokens, at least one.
        given: how many of them are the text; those after it were written by the model. Default: all.
        maps: for each layer what brings its stream nearer to the last one's, see `probing.fit_lens`.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(vocab_size=3, max_seq_len=5, d_model=4, n_layers=2, n_heads=2))
        >>> found = Reading(model, BPETokenizer(["a", "b", "Ġ"], []), [0, 2, 1]).recording()
        >>> found["tokens"], found["arrays"]["next_ids"]["shape"]
        (['a', ' ', 'b'], [3, 3])
    """

    @torch.no_grad()
    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        ids: Sequence[int],
        given: int | None = None,
        maps: Sequence[nn.Module] | None = None,
    ) -> None:
        self.model: Any = model
        self.tokenizer, self.maps = tokenizer, maps
        self.ids = list(ids)
        self.given = len(self.ids) if given is None else given
        device = next(model.parameters()).device
        self.row = torch.tensor([self.ids], device=device)
        self.blocks: list[Any] = [each for each in model.modules() if isinstance(each, TransformerBlock)]
        self.n_heads = self.blocks[0].attention.n_heads
        self._kept_parts: dict[tuple[Any, ...], list[Parts]] = {}
        if isinstance(model, GPT):
            self.logits = logit_lens(model, self._parts()[-1].output)
            self.watched = self.logits.topk(min(WATCHED, self.logits.shape[-1])).indices  # (T, 10)
        else:
            self.vectors = self._parts()[-1].output

    @property
    def answers(self) -> Tensor:
        """The likeliest next token of each."""
        return self.watched[:, :1]

    @torch.no_grad()
    def recording(
        self, *, off: Off = (), skipped: Sequence[int] = (), lens_of: Sequence[int] | None = None
    ) -> Recording:
        """All but what takes hundreds of passes, see `needs` and `words`.

        Args:
            off: heads that give nothing.
            skipped: layers that pass the stream on.
            lens_of: tokens whose layers are read; default: all of a short text, else the last of those given.
        """
        names = _Names(self.tokenizer)
        n = len(self.ids)
        if lens_of is None:
            lens_of = range(n) if n <= AT_ONCE else [self.given - 1]
        layers = self._parts(off, skipped)
        end = layers[-1].output
        arrays = _insides(layers, skipped)
        if isinstance(self.model, GPT):
            arrays |= self._next(logit_lens(self.model, end), names) | self._lens(layers, lens_of, names)
        else:
            arrays["turned"] = torch.cosine_similarity(end, self.vectors, dim=-1).float().cpu().numpy()
        mlp = {"F": layers[0].hidden.shape[-1], "gated": layers[0].gate is not None}
        return {
            **self._about(),
            **mlp,
            "off": [*map(list, off)],
            "skipped": [*skipped],
            "lens_of": [*lens_of],
        } | {
            "scale": arrays.pop("scale").item(),
            "low": arrays.pop("low").item() if "low" in arrays else 0.0,
            "pieces": names.pieces,
            "arrays": packed_all(arrays),
        }

    @torch.no_grad()
    def lens(self, token: int, *, off: Off = (), skipped: Sequence[int] = ()) -> Recording:
        """What each layer would say at one more token."""
        names = _Names(self.tokenizer)
        layers = self._parts(off, skipped)
        arrays = packed_all(self._lens(layers, [token], names))
        return {"lens_of": [token], "pieces": names.pieces, "arrays": arrays}

    @torch.no_grad()
    def words(self, layer: int, head: int) -> Recording:
        """What a head adds at each token, read as if it were an output: its likeliest words, (T, WORDS)."""
        names = _Names(self.tokenizer)
        found = self._words(self._parts()[layer], layer, [head])[0]
        return {"pieces": names.pieces, "arrays": packed_all({"words": names.numbers(found)})}

    @torch.no_grad()
    def needs(self, layers: Sequence[int]) -> Recording:
        """What becomes of the ten likeliest next tokens with each head of these layers off, alone.

        Returns: for each layer a row for each head and one for the layer skipped (layers, H + 1, T, 11), in
            65,535ths: the ten, and the likeliest of then, whose number stands in `off_id`.
        """
        names = _Names(self.tokenizer)
        chances, best = [], []
        for layer in layers:
            rows = self.row.expand(self.n_heads + 1, -1)
            stream = self._parts()[layer].stream.expand(self.n_heads + 1, -1, -1)
            with resumed(self.model, layer, stream), _each_off(self.blocks[layer], stream):
                found = [self._kept(logits) for logits in self.model(rows)]
            chances.append(np.stack([p for p, _ in found]))
            best.append(np.stack([names.numbers(ids) for _, ids in found]))
        off_p = np.round(np.stack(chances) * 65535).astype(np.uint16)
        return {
            "layers": [*layers],
            "pieces": names.pieces,
            "arrays": packed_all({"off_p": off_p, "off_id": np.stack(best)}),
        }

    def everything(self) -> Recording:
        """For a file: with each head off, and with the words that each brings."""
        found = self.recording(lens_of=range(len(self.ids)))
        needs = self.needs(range(len(self.blocks)))
        names = _Names(self.tokenizer, found["pieces"], needs["pieces"])
        with torch.no_grad():
            words = [self._words(parts, n, range(self.n_heads)) for n, parts in enumerate(self._parts())]
        own = unpacked_all(needs["arrays"])
        own["off_id"] = names.moved(own["off_id"], needs["pieces"])
        own["words"] = names.numbers(torch.stack(words))  # (L, H, T, WORDS)
        return {**found, "pieces": names.pieces, "arrays": found["arrays"] | packed_all(own)}

    def _parts(self, off: Off = (), skipped: Sequence[int] = ()) -> list[Parts]:
        """Of every layer; those with all on and the last others are kept."""
        changes = (*off, *skipped)
        if changes not in self._kept_parts:
            with ExitStack() as changed:
                if off:
                    changed.enter_context(heads_off(self.model, off))
                if skipped:
                    changed.enter_context(layers_skipped(self.model, skipped))
                found = all_parts_of(self.model, self.row[0])
            with_all_on = {name: parts for name, parts in self._kept_parts.items() if not name}
            self._kept_parts = {**with_all_on, changes: found}
        return self._kept_parts[changes]

    def _about(self) -> Recording:
        attention = self.blocks[0].attention
        rotary = attention.rotary
        return {
            "text": spoken(self.tokenizer, self.ids[: self.given]),
            "tokens": [piece(self.tokenizer, i) for i in self.ids],
            "ids": self.ids,
            "n": self.given,
            "L": len(self.blocks),
            "H": self.n_heads,
            "G": attention.n_kv_heads,
            "K": attention.d_head,
            "D": self.n_heads * attention.d_head,
            "vocabulary": len(self.tokenizer.tokens),
            "writes": isinstance(self.model, GPT),
            "causal": attention.causal,
            "base": None if rotary is None else rotary.base,
            "interleaved": rotary is not None and rotary.interleaved,
            "step": BIN,
        }

    def _kept(self, logits: Tensor) -> tuple[np.ndarray, Tensor]:
        """The chances of the ten watched tokens and the highest of now, (T, 11); the tokens that have it."""
        p = logits.softmax(-1)
        highest = p.max(-1)
        return torch.cat(
            [p.gather(1, self.watched), highest.values[:, None]], 1
        ).cpu().numpy(), highest.indices

    def _next(self, logits: Tensor, names: "_Names") -> dict[str, np.ndarray]:
        """What comes next, and how likely each token was before it came."""
        top = logits.topk(min(SHOWN, logits.shape[-1]))
        low = float(logits.min().floor())
        bins = int(np.ceil((float(logits.max()) - low) / BIN)) + 1
        others = ((logits - low) / BIN).long().scatter(1, top.indices, bins)  # those listed: one bin too far
        rest = torch.stack([row.bincount(minlength=bins + 1)[:bins] for row in others])
        chances = logits.softmax(-1)
        came = self.row[0, 1:, None]
        own = chances[:-1].gather(1, came)
        kept, best = self._kept(logits)
        return {
            "low": np.array(low),
            "rest": rest.cpu().numpy().astype(np.uint16),
            "next_ids": names.numbers(top.indices),
            "next_tokens": top.indices.cpu().numpy().astype(np.uint32),
            "next_logits": top.values.float().cpu().numpy(),
            "own": np.append(0, own[:, 0].float().cpu().numpy()).astype(np.float32),
            "own_rank": np.append(0, _ranks(chances[:-1], own).cpu().numpy()).astype(np.uint16),
            "kept_p": kept.astype(np.float32),
            "kept_id": names.numbers(best),
        }

    def _lens(self, layers: Sequence[Parts], tokens: Sequence[int], names: "_Names") -> dict[str, np.ndarray]:
        """What each layer would say at some tokens, and the place of the word that wins in the end."""
        chosen = torch.tensor([*tokens], device=self.row.device)
        read = {
            "lens": torch.stack([parts.output[chosen] for parts in layers]),  # (L, tokens, D)
            "mid": torch.stack([parts.middle[chosen] for parts in layers]),
        }
        if self.maps is not None:
            mapped = [own(stream) for own, stream in zip(self.maps, read["lens"], strict=True)]
            read["map"] = torch.stack(mapped)
        answers = self.answers[chosen].repeat(len(layers), 1)
        ranks: type[np.number] = np.uint16 if len(self.tokenizer.tokens) < 65536 else np.uint32
        kinds: dict[str, type[np.number]] = {
            "id": np.uint16,
            "p": np.float32,
            "rank": ranks,
            "pa": np.float32,
        }
        found = {}
        for name, streams in read.items():
            rows = zip(streams.flatten(0, 1).split(ROWS), answers.split(ROWS), strict=True)
            columns = zip(*(self._says(*each) for each in rows), strict=True)
            for (part, kind), column in zip(kinds.items(), columns, strict=True):
                values = torch.cat(column).unflatten(0, streams.shape[:2])
                numbers = names.numbers(values) if part == "id" else values.cpu().numpy()
                found[f"{name}_{part}"] = numbers.astype(kind)
        return found

    def _says(self, stream: Tensor, answers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The words that each vector would say, and their chances; place and chance of the answer."""
        logits = logit_lens(self.model, stream).float()
        top, total = logits.topk(min(BEST, logits.shape[-1])), logits.logsumexp(-1, keepdim=True)
        own = logits.gather(1, answers)
        return top.indices, (top.values - total).exp(), _ranks(logits, own), (own - total).exp()[:, 0]

    def _words(self, parts: Parts, layer: int, heads: Sequence[int]) -> Tensor:
        """What heads add, read as outputs (heads, T, WORDS)."""
        out = self.blocks[layer].attention.out_proj
        alone = parts.mix.new_zeros(len(heads), *parts.mix.transpose(0, 1).shape)
        for i, head in enumerate(heads):
            alone[i, :, head] = parts.mix[head]
        nothing = alone.new_zeros(1, alone[0, 0].numel())
        brought = out(alone.flatten(2)) - out(nothing)
        return logit_lens(self.model, brought.float()).topk(WORDS).indices


def piece(tokenizer: Tokenizer, i: int) -> str:
    """One token as it stands in a running text, its space in front; bytes that are no letter as ⟨E2⟩.

    Example:
        >>> piece(BPETokenizer(["Ġa"], []), 0)
        ' a'
    """
    if isinstance(tokenizer, BPETokenizer):
        data = tokenizer.token_bytes(i)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return readable(data)
    token = tokenizer.tokens[i]
    return token[2:] if token.startswith("##") else f" {token}"


def spoken(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of some tokens, in which a WordPiece's marks and pieces are words."""
    if isinstance(tokenizer, BPETokenizer):
        return tokenizer.decode(ids)
    return "".join(piece(tokenizer, i) for i in ids if i not in tokenizer.special_tokens.values()).strip()


def packed_all(arrays: Mapping[str, ArrayLike]) -> dict[str, dict[str, Any]]:
    """Each array as its type, its shape and its bytes."""
    return {name: _packed(np.asarray(array)) for name, array in arrays.items()}


def unpacked_all(arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """What `packed_all` packed.

    Example:
        >>> unpacked_all(packed_all({"a": np.array([[1, 2]], np.uint8)}))["a"].tolist()
        [[1, 2]]
    """
    found = {}
    for name, array in arrays.items():
        data = zlib.decompress(base64.b64decode(array["data"]))
        found[name] = np.frombuffer(data, np.dtype(array["type"]).newbyteorder("<")).reshape(array["shape"])
    return found


def _packed(array: np.ndarray) -> dict[str, Any]:
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {
        "type": array.dtype.name,
        "shape": [*array.shape],
        "data": base64.b64encode(zlib.compress(data)).decode(),
    }


class _Names:
    """The pieces that are named in a recording, each once, by the number that stands for it in the arrays."""

    def __init__(self, tokenizer: Tokenizer, *known: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.pieces: list[str] = list(dict.fromkeys(each for pieces in known for each in pieces))
        self._number = {name: n for n, name in enumerate(self.pieces)}
        self._of: dict[int, int] = {}

    def numbers(self, ids: Tensor) -> np.ndarray:
        """The numbers that stand for these tokens."""
        flat = [
            self._of[i] if i in self._of else self._of.setdefault(i, self._named(i))
            for i in ids.flatten().tolist()
        ]
        return np.array(flat, np.uint16).reshape(ids.shape)

    def moved(self, numbers: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
        """Numbers of another list of pieces as numbers of this one."""
        return np.array([self._number[name] for name in pieces], np.uint16)[numbers]

    def _named(self, i: int) -> int:
        name = piece(self.tokenizer, i)
        if name not in self._number:
            self._number[name] = len(self.pieces)
            self.pieces.append(name)
        return self._number[name]


def _insides(layers: Sequence[Parts], skipped: Sequence[int]) -> dict[str, Any]:
    """Scores (as no mask has hidden any yet), vectors and units of every layer, and what both parts add."""
    scores = np.stack([parts.scores.float().cpu().numpy() for parts in layers])  # (L, H, T, T)
    scale = min(256.0, 32767 / max(float(np.abs(scores).max()), 1e-9))
    found: dict[str, Any] = {"scale": np.float64(scale), "scores": np.round(scores * scale).astype(np.int16)}
    kept = {
        "q": [parts.turned_q for parts in layers],
        "k": [parts.turned_k for parts in layers],
        "v": [parts.v for parts in layers],
        "x": [parts.stream[:, :NUMBERS] for parts in layers],
        "read": [parts.attention_input[:, :NUMBERS] for parts in layers],
        "mlp_read": [parts.mlp_input[:, :NUMBERS] for parts in layers],
    }
    for name, vectors in kept.items():
        found[name], found[f"{name}_max"] = four_bits(torch.stack(vectors))
    found["length"] = torch.stack([_length(parts.stream) for parts in layers] + [_length(layers[-1].output)])
    share, units, hidden = [], [], []
    for n_layer, parts in enumerate(layers):
        goes = n_layer not in skipped
        middle = parts.middle if goes else parts.stream
        share.append(
            torch.stack(
                [
                    goes * _length(parts.attention) / _length(parts.stream),
                    goes * _length(parts.feed_forward) / _length(middle),
                ],
                -1,
            )
        )
        big = parts.hidden.abs().topk(min(UNITS, parts.hidden.shape[-1])).indices
        gate = parts.up if parts.gate is None else parts.gate
        units.append(torch.stack([x.float().gather(1, big) for x in (gate, parts.up, parts.hidden)], -1))
        hidden.append(big)
    return found | {
        "length": found["length"].float().cpu().numpy(),
        "share": torch.stack(share).float().cpu().numpy(),
        "units": torch.stack(units).cpu().numpy(),
        "unit_n": torch.stack(hidden).cpu().numpy().astype(np.uint16),
    }


def four_bits(vectors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Each number as one of 15 levels, two in a byte, the lower half first; and the largest of each vector.

    Example:
        >>> levels, largest = four_bits(torch.tensor([[7.0, -7.0, 1.0, 0.0]]))
        >>> [(int(byte) & 15) - 8 for byte in levels[0]], [(int(byte) >> 4) - 8 for byte in levels[0]]
        ([7, 1], [-7, 0])
    """
    x = nn.functional.pad(vectors.float(), (0, vectors.shape[-1] % 2))
    largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-9)
    level = (x / largest * 7).round().to(torch.int16) + 8
    both = (level[..., 0::2] + 16 * level[..., 1::2]).cpu().numpy().astype(np.uint8)
    return both, largest[..., 0].cpu().numpy().astype(np.float32)


def _length(x: Tensor) -> Tensor:
    return x.float().norm(dim=-1)


def _ranks(scores: Tensor, own: Tensor) -> Tensor:
    """The place of its own score in each row, from 1 on."""
    return (scores > own).count_nonzero(-1) + 1


@contextmanager
def _each_off(block: nn.Module, stream: Tensor) -> Iterator[None]:
    """Inside, of one text H + 1 times, row h goes without head h of this layer, the last without it all."""
    attention: Any = block.attention
    n_heads = attention.n_heads
    keep = 1 - torch.eye(n_heads + 1, n_heads, device=stream.device)  # (H + 1, H)

    def silence(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        mix = args[0].unflatten(-1, (n_heads, -1))  # (B, T, H, K)
        return ((mix * keep[:, None, :, None].to(mix)).flatten(2),)

    def pass_on(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return torch.cat([output[:-1], args[0][-1:]])

    hooks = [attention.out_proj.register_forward_pre_hook(silence), block.register_forward_hook(pass_on)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
