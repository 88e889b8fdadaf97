"""The flow explorer: a whole model with one text running through it, down to the numbers of each part."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from course_lib.blocks import FeedForward
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c09_real_models.flow_parts import parts_list
from course_lib.decoder import GPT
from course_lib.encoder import BERT
from course_lib.generation import next_token_probabilities
from course_lib.probing import Parts, logit_lens, parts_of, recorded, resumed
from course_lib.widgets.explorer import Explorer, assets, packed
from course_lib.widgets.reading import (
    TextTokenizer,
    Token,
    checked_settings,
    checked_text,
    for_page,
    left_out,
    likeliest,
    named,
    percent,
    readable,
    settings_text,
    token_text,
    tokens_of,
)

MOST_TOKENS = 24  # of a text that are read
COORDINATES = 6  # of a vector that are shown
SHOWN_NEXT = 10  # rows of the table of next tokens
SMALL = 2_000_000  # parameters up to which all blocks are opened at once
STAGES = ("products", "scores", "weights")
ZOOMS = ("model", "block")
TEXTS = {True: "The capital of France is", False: "A cat sat on the warm mat."}  # of a decoder, an encoder
ABOUT = (
    "Left to right: each token's row is its residual stream, on its way through the model. One layer is "
    "open, the others are narrow; layers and heads are counted from 0. The followed token's row is drawn "
    "strongly; orange ribbons show what it gathers from other tokens in the chosen head. Small bars are the "
    "first coordinates of a vector, up where they are above 0 and down where they are below; the largest "
    "fills its frame. Choose a part for its formula and numbers. Keys: arrows move among tokens, parts and "
    "cells. A page without a kernel shows the layers that were opened; another text, another layer and "
    "another word need Python."
)

_ASSETS = assets(__file__)


class FlowExplorer(Explorer):
    """Follow a text through a whole model: tokens, embeddings, each layer, and what comes out at the end.

    Args:
        model: a `GPT` or a `BERT`.
        tokenizer: its tokenizer, or something else with `encode`, `pieces` and, for a GPT, `decode`.
        text: what is read at first, up to `LONGEST_TEXT` characters; of its tokens the first
            `MOST_TOKENS`. Left out: a short sentence in English.
        examples: other texts to choose from.
        layer: the one that is open at first.
        temperature: of the next token, and so are top_k and top_p, see `NextWord`.
        seed: of the draws.
        asks: whether it asks for a guess, which kind of part holds most parameters.
    Raises: ValueError: another kind of model or tokenizer, a layer that is not there, a setting out of range,
        a text that is empty, too long or without a token.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which an exported page can make without Python.
    layer = traitlets.Int(0, min=0).tag(sync=True)
    head = traitlets.Int(0, min=0).tag(sync=True)
    token = traitlets.Int(0, min=0).tag(sync=True)  # past the end: the last one
    key = traitlets.Int(0, min=0).tag(sync=True)  # the token that the followed one looks at, in the matrix
    part = traitlets.Unicode("weights").tag(sync=True)  # an id of the view's parts; any other: the first
    stage = traitlets.Enum(STAGES, STAGES[-1]).tag(sync=True)  # of the attention matrix
    zoom = traitlets.Enum(ZOOMS, ZOOMS[-1]).tag(sync=True)
    guess = traitlets.Unicode("").tag(
        sync=True
    )  # which part of the model holds most parameters; "": none said
    asks = traitlets.Bool(True).tag(sync=True)  # for that guess
    # All that is shown of the text but the insides of blocks; those that were opened, by their number.
    view = traitlets.Dict().tag(sync=True)
    blocks = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        tokenizer: TextTokenizer,
        text: str | None = None,
        *,
        examples: Sequence[str] = (),
        layer: int = 0,
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        seed: int = 0,
        asks: bool = True,
    ) -> None:
        super().__init__()
        self._model, self._tokenizer = _checked(model, tokenizer)
        self._is_decoder = isinstance(model, GPT)
        n_layers = len(self._model.stack.blocks)
        if not 0 <= layer < n_layers:
            raise ValueError(f"layer must be from 0 to {n_layers - 1}; got {layer}.")
        self._settings = checked_settings(temperature, top_k, top_p)
        self._generator = torch.Generator().manual_seed(seed)
        self._first_text = TEXTS[self._is_decoder] if text is None else text
        self._examples = [self._first_text, *(each for each in examples if each != self._first_text)]
        with self.hold_sync():  # one message instead of one for each change
            self.layer, self.asks = layer, asks
            self.text = self._first_text
            self.token = MOST_TOKENS

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        wanted = self._tokens(checked_text(text))
        kept = wanted[: min(MOST_TOKENS, self._model.config.max_seq_len)]
        if not kept:
            raise ValueError("The text has no token that the model knows: type another one.")
        self._read(text, kept, left_out(wanted, kept), 0)

    def settings(self, temperature: float | int, top_k: int | None, top_p: float | int | None) -> None:
        """Change temperature, top-k and top-p; see `NextWord`."""
        self._settings = checked_settings(temperature, top_k, top_p)
        self.show_state(end=self._end(), error="")

    def write(self, *, likeliest: bool = False) -> None:
        """Let the model write one more token: drawn after the settings, or simply the likeliest.

        Raises: ValueError: an encoder writes nothing; the picture or the model's context is full.
        """
        if not self._is_decoder:
            raise ValueError("An encoder has no next token: it gives a vector for each token.")
        room = min(MOST_TOKENS, self._model.config.max_seq_len)
        if len(self._kept) >= room:
            raise ValueError(f"The picture has room for {room} tokens: shorten the text or take tokens back.")
        chances = self._chances()
        token = int(
            chances.argmax() if likeliest else torch.multinomial(chances, 1, generator=self._generator)
        )
        piece, how = self._piece(token), "Taken" if likeliest else "Drawn"
        if token in getattr(self._tokenizer, "special_tokens", {}).values():
            self.show_state(note=f"{how}: {piece}. It marks a beginning or an end, so the text ends here.")
            return
        kept, n_written = [*self._kept, (token, piece)], self.state["n_written"] + 1
        note = f"{how}: {piece}, which had {percent(float(chances[token]))}."
        self._read(self._joined(kept), kept, self.view["note"], n_written, note)
        self.token = MOST_TOKENS

    def take_back(self) -> None:
        """Leave out the last token that the model wrote, if there is one."""
        n_written = self.state["n_written"]
        if n_written:
            kept = self._kept[:-1]
            self._read(self._joined(kept), kept, self.view["note"], n_written - 1)

    def on_text(self, text: str) -> None:
        """The page: another text was typed or chosen."""
        self.text = text

    def on_open(self, layer: int) -> None:
        """The page: another block is to be opened."""
        n_layers = len(self._model.stack.blocks)
        if type(layer) is not int or not 0 <= layer < n_layers:
            raise ValueError(f"layer must be a whole number from 0 to {n_layers - 1}; got {layer!r}.")
        self.layer = layer

    def on_settings(self, temperature: float | int, top_k: int, top_p: float | int) -> None:
        """The page: a slider was moved; top_k 0 and top_p 1 keep all tokens."""
        self.settings(temperature, top_k or None, None if top_p == 1 else top_p)

    def on_write(self, likeliest: bool) -> None:
        """The page: one more token."""
        self.write(likeliest=bool(likeliest))

    def on_back(self) -> None:
        """The page: the last written token is to go."""
        self.take_back()

    @traitlets.validate("layer")
    def _check_layer(self, proposal: Any) -> int:
        layer = min(proposal["value"], len(self._model.stack.blocks) - 1)
        self._open(layer)
        return layer

    def _tokens(self, text: str) -> list[Token]:
        """With a BERT's marks, where its tokenizer has them."""
        tokenizer = self._tokenizer
        if isinstance(self._model, BERT) and isinstance(tokenizer, WordPiece):
            return [(i, token_text(tokenizer, i)) for i in tokenizer.frame(text)[0]]
        return tokens_of(type(self._model).__name__, tokenizer, text)

    def _piece(self, token: int) -> str:
        if isinstance(self._tokenizer, BPETokenizer | WordPiece):
            return token_text(self._tokenizer, token)
        decode = getattr(self._tokenizer, "decode", None)
        return readable(decode([token]).encode()) if decode else f"token {token}"

    def _joined(self, kept: list[Token]) -> str:
        decode = getattr(self._tokenizer, "decode", None)
        return decode([i for i, _ in kept]) if decode else "".join(piece for _, piece in kept)

    @torch.no_grad()
    def _read(self, text: str, kept: list[Token], left: str, n_written: int, note: str = "") -> None:
        """One real pass over these tokens; what it shows takes the place of what was shown."""
        model = self._model
        ids = torch.tensor([i for i, _ in kept], device=next(model.parameters()).device)
        with recorded(model) as record:
            output = model(ids[None])[0]
        self._kept, self._ids, self._streams, self._output = kept, ids, record.streams, output.float().cpu()
        with self.hold_sync():
            self.view = self._view(record, left)
            self.blocks = {}
            is_small = sum(each.numel() for each in model.parameters()) <= SMALL
            for layer in range(len(model.stack.blocks)) if is_small else [self.layer]:
                self._open(layer)
            self.show_state(
                about=ABOUT,
                examples=self._examples,
                text=text,
                n_written=n_written,
                note=note,
                end=self._end(),
                error="",
            )

    def _view(self, record: Any, left: str) -> dict[str, Any]:
        model, config = self._model, self._model.config
        pieces = [piece for _, piece in self._kept]
        names, n = named(pieces), len(pieces)
        attention = model.stack.blocks[0].attention
        heads = f"{attention.n_heads} heads"
        if attention.n_kv_heads != attention.n_heads:
            heads += f", {attention.n_kv_heads} for keys and values"
        numbers, said = self._embedding()
        if self._is_decoder:
            numbers["norm"] = _rows(model.stack.final_norm(record.streams[-1][0]))
        else:
            mean = self._output.mean(0)
            numbers["mean"] = _rows(mean.expand(n, -1))
            numbers["sentence"] = _rows(nn.functional.normalize(mean, dim=0).expand(n, -1))
        entered = [self._entered, *(stream[0] for stream in record.streams)]
        shares = [
            [
                _shares(add[0], stream),
                _shares(mlp[0], stream + add[0]),
            ]
            for add, mlp, stream in zip(record.attention, record.feed_forward, entered[:-1], strict=True)
        ]
        kind = "decoder" if self._is_decoder else "encoder"
        lines = [
            f"{kind.capitalize()} of {config.n_layers} layers, {heads}, vectors of width {config.d_model}, "
            f"{config.vocab_size:,} tokens known.",
            f"Tokens ({n}): {' | '.join(names)}",
            left,
        ]
        return {
            "text": "\n".join(filter(None, lines)),
            "note": left,
            "is_decoder": self._is_decoder,
            "causal": attention.causal,
            "n_layers": config.n_layers,
            "n_heads": attention.n_heads,
            "d_head": attention.d_head,
            "group": attention.n_heads // attention.n_kv_heads,
            "shown": min(COORDINATES, attention.d_head),
            "tokens": pieces,
            "names": names,
            "ids": [i for i, _ in self._kept],
            "parts": parts_list(model, n),
            "numbers": numbers,
            "said": said,
            "lens": self._lens(record.streams),
            # (L, 2, T): what attention adds, then the MLP, as a share of the stream's length
            "shares": packed(torch.tensor(shares).numpy().round(3), np.float32),
            "parameters": _parameters(model),
        }

    def _lens(self, streams: list[Tensor]) -> list[str]:
        """What the model would say next if each block were its last; nothing of an encoder."""
        if not self._is_decoder:
            return []
        rows = likeliest(self._tokenizer, logit_lens(self._model, torch.cat([s[:, -1] for s in streams])))
        return [
            f"If layer {layer} were the last one, the likeliest next token would be “{piece}” ({share})."
            for layer, ((piece, share), *_) in enumerate(rows)
        ]

    def _embedding(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        """The numbers that become what enters the first block, and a sentence for each token."""
        model, ids = self._model, self._ids
        n = len(ids)
        numbers = {"token": _rows(model.token_embedding(ids))}
        if model.position_embedding is not None:
            numbers["position"] = _rows(model.position_embedding.weight[:n])
        if isinstance(model, BERT):
            numbers["segment"] = _rows(model.segment_embedding.weight[:1].expand(n, -1))
            x = model.token_embedding(ids) + model.segment_embedding.weight[0]
            self._entered = model.embedding_norm(model.position_embedding(x[None]))[0]
        else:
            self._entered = model.embed(ids[None])[0]
        numbers["entered"] = _rows(self._entered)
        said = [f"{name} is token {i}, at place {t}." for t, (i, name) in enumerate(self._kept)]
        return numbers, {"tokens": said, "embedding": said}

    @torch.no_grad()
    def _open(self, layer: int) -> None:
        """Put the insides of a block into `blocks`, from a real pass."""
        if not self.view or str(layer) in self.blocks:
            return
        # What lies below runs as it ran before.
        below = self._streams[layer - 1] if layer else self._entered[None]
        with resumed(self._model, layer, below):
            parts = parts_of(self._model, self._ids, layer)
        self.blocks = {
            **self.blocks,
            str(layer): _block(layer, parts, self.view["names"], self.view["causal"]),
        }

    def _chances(self, **but: Any) -> Tensor:
        return next_token_probabilities(self._output[-1], **{**self._settings, **but})

    def _end(self) -> dict[str, Any]:
        """What comes out: the next token, step by step from the scores; of an encoder one sentence."""
        if not self._is_decoder:
            text = (
                "There is no next token: an encoder gives a vector for each token. Their mean, divided by "
                "its length, stands for the sentence, and search compares such vectors."
            )
            return {"text": text, "rows": [], "rest": [], "settings": {}}
        logits = self._output[-1]
        temperature = self._settings["temperature"]
        chances = {
            "softmax": self._chances(top_k=None, top_p=None),
            "top-k": self._chances(top_p=None),
            "top-p": self._chances(),
        }
        shown = logits.topk(min(SHOWN_NEXT, len(logits))).indices.tolist()
        rows = []
        for token in shown:
            after = {name: float(each[token]) for name, each in chances.items()}
            logit = float(logits[token])
            scaled = _number(logit / temperature) if temperature else "the likeliest alone"
            cells = [_number(logit), scaled, percent(after["softmax"])]
            cells += ["kept" if after[name] else "out" for name in ("top-k", "top-p")]
            rows.append([self._piece(token), *cells, percent(after["top-p"])])
        others = {name: each.index_fill(0, torch.tensor(shown), 0.0) for name, each in chances.items()}
        counts = [f"{int((others[name] > 0).sum()):,} kept" for name in ("top-k", "top-p")]
        shares = [percent(float(others[name].sum())) for name in ("softmax", "top-p")]
        rest = [f"{len(logits) - len(shown):,} others", "", "", shares[0], *counts, shares[1]]
        settings = {"temperature": temperature, **for_page(self._settings)}
        last = self.view["names"][-1]
        listed = ", ".join(f"{row[0]} {row[-1]}" for row in rows)
        text = f"After {last}, {settings_text(settings)}: {listed}, {rest[0]} {rest[-1]}."
        return {"text": text, "rows": rows, "rest": rest, "settings": settings}


def _checked(model: Any, tokenizer: Any) -> tuple[Any, TextTokenizer]:
    if not isinstance(model, GPT | BERT):
        raise ValueError(f"The model must be a GPT or a BERT of this library; got {type(model).__name__}.")
    for layer, block in enumerate(model.stack.blocks):
        if not isinstance(block.feed_forward, FeedForward):
            raise ValueError(
                f"Layer {layer} must have a FeedForward; got {type(block.feed_forward).__name__}."
            )
    if not len(model.stack.blocks):
        raise ValueError("The model has no layer to open.")
    if not isinstance(tokenizer, TextTokenizer):
        raise ValueError(f"The tokenizer must have encode and pieces; got {type(tokenizer).__name__}.")
    return model, tokenizer


def _block(layer: int, parts: Parts, names: list[str], causal: bool) -> dict[str, Any]:
    """The insides of one block as the page shows them."""
    vectors = [
        "stream",
        "attention_input",
        "attention",
        "middle",
        "mlp_input",
        "up",
        "hidden",
        "feed_forward",
    ]
    by_head = ["q", "k", "v", "turned_q", "turned_k", "mix", "output"]
    numbers = {name: _rows(getattr(parts, name)) for name in vectors + by_head}
    numbers["concatenated"] = _rows(parts.mix.transpose(0, 1).flatten(1))
    if parts.gate is not None:
        numbers["gate"] = _rows(parts.gate)
    lengths = {
        name: getattr(parts, name).norm(dim=-1).tolist()
        for name in ("stream", "attention", "middle", "feed_forward", "output")
    }
    added, bent = [], []
    for t, name in enumerate(names):
        at = {part: values[t] for part, values in lengths.items()}
        added.append(
            f"Attention adds a vector of length {_number(at['attention'])} to {name}'s stream of length "
            f"{_number(at['stream'])}, the MLP one of {_number(at['feed_forward'])}; "
            f"the stream leaves with length {_number(at['output'])}."
        )
        most = parts.hidden[t].abs().topk(min(5, parts.hidden.shape[-1])).indices.tolist()
        units = ", ".join(f"unit {i} at {_number(float(parts.hidden[t, i]))}" for i in most)
        bent.append(f"Most active for {name} of {parts.hidden.shape[-1]:,} hidden units: {units}.")
    weights = (1000 * parts.weights).round().int()
    looks = []
    for rows in weights.tolist():
        found = []
        for t, row in enumerate(rows):
            seen = range(t + 1) if causal else range(len(row))
            most = sorted(seen, key=row.__getitem__, reverse=True)[:3]
            told = ", ".join(f"{names[s]} {percent(row[s] / 1000)}" for s in most)
            found.append(f"{names[t]} looks most at {told}.")
        looks.append(found)
    return {
        "numbers": numbers,
        "said": added,
        "part_said": {"mlp": bent, "middle": added, "output": added},
        "looks": looks,
        **{stage: packed(getattr(parts, stage).cpu().numpy().round(3), np.float32) for stage in STAGES},
    }


def _rows(vectors: Tensor) -> str:
    """Of each vector its length and its first coordinates, with three decimals."""
    vectors = vectors.detach().float().cpu()
    first = vectors[..., :COORDINATES]
    padded = nn.functional.pad(first, (0, COORDINATES - first.shape[-1]))
    kept = torch.cat([vectors.norm(dim=-1, keepdim=True), padded], dim=-1)
    return packed(kept.double().numpy().round(3), np.float32)


def _shares(added: Tensor, stream: Tensor) -> list[float]:
    return (added.norm(dim=-1) / stream.norm(dim=-1).clamp(min=1e-9)).tolist()


def _number(value: float) -> str:
    """Three decimals, as the page writes them.

    Example:
        >>> _number(-0.5), _number(-0.0001)
        ('−0.500', '0.000')
    """
    text = f"{float(value):.3f}"
    return ("0.000" if text == "-0.000" else text).replace("-", "−")


def _parameters(model: nn.Module) -> list[tuple[str, int]]:
    """How many parameters each kind of part has; a shared table counts once."""
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            kind = "Norms"
        elif ".attention." in name:
            kind = "Attention"
        elif ".feed_forward." in name:
            kind = "MLPs"
        elif "embedding" in name:
            kind = "Embedding tables"
        else:
            kind = "Output layer" if isinstance(model, GPT) else "Pooler and heads"
        counts[kind] += parameter.numel()
    order = ("Embedding tables", "Attention", "MLPs", "Norms", "Output layer", "Pooler and heads")
    return [(kind, counts[kind]) for kind in order if counts[kind]]
