"""The gap explorer: hide tokens of a text and see what models expect there, from one side and from both."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import traitlets
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib import readers
from course_lib.decoder import GPT, LlamaConfig
from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.microscope.recording import packed_all, piece
from course_lib.widgets.reading import TextTokenizer, Tokenizer, checked_models, checked_text, direction

MOST_TOKENS = 32  # of a text that are read
MOST_HIDDEN = 8
SHOWN = 7  # of the likeliest tokens
TRIED = 20  # tokens that a model which reads one side tries in a gap
AT_ONCE = 2e11  # multiplications, up to which every single gap of the first text is tried
UNKNOWN = "The model knows none of these letters: it reads those of an English keyboard. Type another text."

_ASSETS = assets(__file__, "reader", "explorer")


class Characters:
    """What the models of `readers` read, as a tokenizer: each character of `readers.ALPHABET` is a token.

    All other characters are left out.
    """

    def encode(self, text: str) -> list[int]:
        """The numbers of the characters."""
        return readers.encode(text).tolist()

    def pieces(self, text: str) -> list[str]:
        """The characters themselves."""
        return [*self.decode(self.encode(text))]

    def decode(self, ids: list[int]) -> str:
        """The characters of these numbers."""
        return readers.decode(torch.tensor(ids, dtype=torch.long))


class GapExplorer(Explorer):
    """Hide tokens and see what models put there: from the left, from both sides, or by trying candidates.

    A model that reads to the left sees what stands before a gap, and fills each gap with its own likeliest
    token before it reads on. By trying it uses the right side, too: each of its `TRIED` likeliest tokens and
    the hidden one are put into the gap, and the whole text is scored with each. A model that reads both sides
    is asked for each token in turn, while it and the gaps are hidden.

    For the first text every single gap is answered at once, so that an exported page can show them all, if
    that takes at most `AT_ONCE` multiplications; the models of `readers` read on without Python.

    Args:
        models: by name, each a `GPT` with its tokenizer. It is causal, or it reads both sides and then knows
            `readers.MASK_ID`, or it is SmolLM2 as a `readers.Filler`. Models that cut the text into the same
            tokens stand side by side.
        text: what is read at first, up to `LONGEST_TEXT` characters; of its tokens the first
            `MOST_TOKENS`.
        model: the name of the one whose tokens are shown at first; left out, the first.
        hidden: the places, from 0, that are hidden at first; left out, a long word, or the middle where no
            token is a whole word.
    Raises: ValueError: no model, another kind of model, a name or place that is not there, a text that is
        empty, too long or without a token.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # Choices of the page, which it can make without Python.
    model = traitlets.Unicode().tag(sync=True)  # a name of `models`
    hidden: Any = traitlets.List().tag(sync=True)  # places, in order
    token: Any = traitlets.Int(0).tag(sync=True)  # the gap that is followed
    # The tokens of each model, by name.
    views = traitlets.Dict().tag(sync=True)
    # What was answered so far, by the model's name and the hidden places ("3,7"): see `_Reader.answer`.
    answers = traitlets.Dict().tag(sync=True)
    # What was tried so far, by the model's name, the other gaps and the place ("3;7"): see `_Reader.attempt`.
    tried = traitlets.Dict().tag(sync=True)
    # The small readers, by name, for pages without Python.
    weights = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, TextTokenizer]],
        text: str,
        *,
        model: str | None = None,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self._readers = {name: _Reader(name, *pair) for name, pair in checked_models(models).items()}
        with self.hold_sync():  # one message instead of one for each change
            self.weights = {name: each.packed() for name, each in self._readers.items() if each.is_small}
            self._read(text, next(iter(models)) if model is None else model, hidden)
            for reader in self._readers.values():
                if reader.cost() <= AT_ONCE:
                    for place in range(len(reader.pieces)):
                        self._find([reader], [], place)

    @property
    def text(self) -> str:
        """The text that is read; assign to replace it, and to hide one of its words."""
        return self.state["text"]

    @text.setter
    def text(self, text: str) -> None:
        self._read(text, self.model, None)

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_find(self, text: str, model: str, others: list[int], token: int) -> None:
        """The page: what is expected at this token while the others are hidden, too?"""
        if text == self.text:  # else the question came too late
            self._check(model, others, token, self._lengths)
            self._find(self._group(model), others, token)

    @traitlets.validate("model", "hidden", "token")
    def _check_choice(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        choice = {"model": self.model, "hidden": self.hidden, "token": self.token, name: value}
        self._check(**choice, lengths=self._lengths)
        return sorted({*value}) if name == "hidden" else value

    @traitlets.observe("model", "hidden", "token")
    def _choose(self, _: Any = None) -> None:
        others = self.hidden if len(self.hidden) > 1 else []  # a single gap goes elsewhere, more stay
        self._find(self._group(self.model), others, self.token)

    @property
    def _lengths(self) -> dict[str, int]:
        return {name: len(reader.pieces) for name, reader in self._readers.items()}

    def _check(self, model: Any, hidden: Any, token: Any, lengths: Mapping[str, int]) -> None:
        """Raises: ValueError: a name or place that is not there, too many gaps."""
        if model not in lengths:
            raise ValueError(f"model must be one of {[*lengths]}; got {model!r}.")
        most = max(lengths.values())
        places = [*hidden, token] if isinstance(hidden, list) else [hidden]
        if any(type(place) is not int or not 0 <= place < most for place in places):
            raise ValueError(
                f"hidden and token must be places from 0 to {most - 1}; got {hidden!r}, {token!r}."
            )
        n_hidden = sum(place < lengths[model] for place in {*hidden})
        if n_hidden > min(MOST_HIDDEN, lengths[model] - 1):
            raise ValueError(
                f"At most {MOST_HIDDEN} tokens can be hidden, and one must stay; got {n_hidden} of "
                f"{lengths[model]}: show one before you hide another."
            )

    def _read(self, text: str, model: str, hidden: Sequence[int] | None) -> None:
        """Let all models read this text; nothing changes where one of them cannot."""
        checked_text(text)
        cuts = {name: reader.cut(text) for name, reader in self._readers.items()}
        lengths = {name: len(cut["tokens"]) for name, (_, cut) in cuts.items()}
        tokens = cuts[model][1]["tokens"] if model in cuts else []
        first = _telling(tokens)
        chosen = [*hidden] if hidden is not None else [first] * (len(tokens) > 1)
        token = chosen[0] if chosen else first
        self._check(model, chosen, token, lengths)
        for name, reader in self._readers.items():
            reader.take(*cuts[name])
        with self.hold_sync():
            self.views = {name: reader.view for name, reader in self._readers.items()}
            self.answers, self.tried = ({name: {} for name in self._readers} for _ in range(2))
            with self.hold_trait_notifications():  # the three are checked together
                self.model, self.hidden, self.token = model, chosen, token
            self._choose()
            self.show_state(names=[*self._readers], text=text, n_tried=TRIED, error="")

    def _group(self, model: str) -> list["_Reader"]:
        """The models that cut the text as this one does."""
        shown = self._readers[model].pieces
        return [reader for reader in self._readers.values() if reader.pieces == shown]

    def _find(self, group: list["_Reader"], others: list[int], token: int) -> None:
        """Put into `answers` and `tried` what is not yet there."""
        for reader in group:
            gaps, name, place = reader.fitting(others), reader.name, min(token, len(reader.pieces) - 1)
            if _key(gaps) not in self.answers[name]:
                self.answers = _with(self.answers, name, _key(gaps), reader.answer(gaps))
            left = [gap for gap in gaps if gap != place]
            if reader.is_causal and _key(left, place) not in self.tried[name]:
                self.tried = _with(self.tried, name, _key(left, place), reader.attempt(left, place))


class _Reader:
    """A model with its tokenizer, and the text that it reads."""

    def __init__(self, name: str, model: nn.Module, tokenizer: TextTokenizer) -> None:
        self.filler = model if isinstance(model, readers.Filler) else None
        if isinstance(model, readers.Filler):
            model = model.model
        if not isinstance(model, GPT):
            raise ValueError(
                f"{name} is a {type(model).__name__}. What is needed is a GPT: a decoder that says the next "
                "token, or the same without its causal mask, trained to say what is hidden."
            )
        self.is_causal = self.filler is None and readers.is_causal(model)
        config = model.config
        if not self.is_causal and self.filler is None and config.vocab_size <= readers.MASK_ID:
            raise ValueError(
                f"{name} reads both sides, so it must know token {readers.MASK_ID}, which stands for what is "
                f"hidden; it knows {config.vocab_size} tokens, from 0."
            )
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        # What the page can compute itself.
        sizes = config.vocab_size, config.max_seq_len, config.d_model, config.n_layers, config.n_heads
        self.is_small = isinstance(tokenizer, Characters) and config == LlamaConfig(*sizes)

    def packed(self) -> dict[str, Any]:
        """The model for the page."""
        config = self.model.config
        arrays = {name: weight.detach().cpu().numpy() for name, weight in self.model.named_parameters()}
        return {
            "n_heads": config.n_heads,
            "eps": config.norm_eps,
            "base": config.rotary_base,
            "most": min(MOST_TOKENS, config.max_seq_len),
            "n_shown": SHOWN,
            "n_tried": TRIED,
            "arrays": packed_all(arrays),
        }

    def cost(self) -> float:
        """Multiplications that it takes to try every single gap."""
        return self.is_causal * self.n_parameters * (TRIED + 1) * len(self.pieces) ** 2 / 2

    def cut(self, text: str) -> tuple[list[int], dict[str, Any]]:
        """The ids that are read, and what is said of the text."""
        ids = list(self.tokenizer.encode(text))
        known = isinstance(self.tokenizer, Tokenizer)
        pieces = [self.named(i) for i in ids] if known else self.tokenizer.pieces(text)
        if len(pieces) != len(ids):
            raise ValueError(f"{self.name}'s tokenizer gives {len(ids)} ids and {len(pieces)} pieces.")
        n_kept = min(MOST_TOKENS, self.model.config.max_seq_len, len(ids))
        unknown = []
        if isinstance(self.tokenizer, Characters):
            unknown = [each for each in dict.fromkeys(text) if each not in readers.ALPHABET]
            if unknown and not "".join(pieces).strip():
                raise ValueError(UNKNOWN)
        if not n_kept:
            raise ValueError(f"The text has no token of {self.name}: type another one.")
        return ids[:n_kept], {
            "tokens": pieces[:n_kept],
            "n_tokens": len(ids),  # of the whole text
            "unknown": unknown,
            "is_causal": self.is_causal,
            "is_rtl": direction(text) == "rtl",
            "vocab_size": self.model.config.vocab_size,
        }

    def take(self, ids: list[int], view: dict[str, Any]) -> None:
        """Read these tokens from now on."""
        self.view, self.pieces = view, view["tokens"]
        self._unfilled: dict[int, Tensor] = {}  # the scores behind each token, by the place where it begins
        device = next(self.model.parameters()).device
        self.ids = torch.tensor(ids, dtype=torch.long, device=device)

    def named(self, i: int) -> str:
        """A token as it stands in a text."""
        if isinstance(self.tokenizer, Tokenizer):
            return piece(self.tokenizer, i)
        decode = getattr(self.tokenizer, "decode", None)
        return decode([i]) if decode else f"token {i}"

    def fitting(self, hidden: Sequence[int]) -> list[int]:
        """Of these places those that this text has; one token stays."""
        n_tokens = len(self.pieces)
        return [place for place in sorted({*hidden}) if place < n_tokens][: n_tokens - 1]

    @torch.no_grad()
    def answer(self, hidden: list[int]) -> list[dict[str, Any] | None]:
        """What is expected at each token while it and these are hidden; None: nothing stands before it."""
        self.model.eval()
        if not self.is_causal:
            return [self._gap(scores, place, 1) for place, scores in enumerate(self._both_sides(hidden))]
        start, _, scores = self._written(hidden)
        silent: list[dict[str, Any] | None] = [None] * (start + 1)
        return silent + [
            self._gap(scores[place - start - 1], place, 1 + sum(start < gap < place for gap in hidden))
            for place in range(start + 1, len(self.ids))
        ]

    @torch.no_grad()
    def attempt(self, others: list[int], place: int) -> dict[str, Any] | None:
        """What fills a gap when the whole text is scored with each of the likeliest tokens in turn."""
        self.model.eval()
        hidden = sorted([*others, place])
        if len(hidden) == len(self.ids):
            return None
        start, written, scores = self._written(hidden, to_end=False)
        if place < start:
            return None
        before = scores[place - start - 1].log_softmax(-1)  # (V,)
        tokens = before.topk(min(TRIED, len(before))).indices
        if self.ids[place] not in tokens:
            tokens = torch.cat([tokens, self.ids[place : place + 1]])
        texts = written[start:].repeat(len(tokens), 1)  # (N, T)
        at = place - start
        texts[:, at] = tokens
        tried = torch.full_like(before, -torch.inf)
        tried[tokens] = before[tokens]
        known = [n for n in range(at + 1, texts.shape[1]) if n + start not in hidden]
        if known:
            after = self._scores_after(texts, at).log_softmax(-1)  # (N, S, V)
            agree = after.gather(-1, texts[:, at + 1 :, None])[..., 0]  # (N, S)
            tried[tokens] += agree[:, [n - at - 1 for n in known]].sum(-1)
        passes = 1 + sum(start < gap < place for gap in others) + len(tokens)
        return {**self._gap(tried, place, passes), "tried": len(tokens)}

    def _scores_after(self, texts: Int[Tensor, "N T"], at: int) -> Float[Tensor, "N S V"]:
        """What is expected behind place `at`, and so on, of texts alike before it: that is read once."""
        n_texts, n_tokens = texts.shape
        first, caches = self.model.new_cache(1, at), self.model.new_cache(n_texts, n_tokens)
        self.model.next_token_logits(texts[:1, :at], first)
        for one, many in zip(first, caches, strict=True):
            many.append(one.keys.expand(n_texts, -1, -1, -1), one.values.expand(n_texts, -1, -1, -1))
        return self.model(texts[:, at:-1], caches)

    def _written(self, hidden: list[int], to_end: bool = True) -> tuple[int, Tensor, Float[Tensor, "T V"]]:
        """The text with the model's own likeliest token in each gap.

        Args:
            to_end: whether what follows the last gap is read, too.
        Returns:
            the place of the first token that is not hidden, where the model begins; the ids; the scores of
            what follows each token from there on, without the last.
        """
        start = next(place for place in range(len(self.ids)) if place not in hidden)
        written, is_read = self.ids.clone(), True
        if start not in self._unfilled:
            self._unfilled[start] = self.model(written[None, start:])[0, :-1]
        scores = self._unfilled[start]
        for place in (gap for gap in hidden if gap > start):
            if not is_read:
                scores = self.model(written[None, start:])[0, :-1]
            written[place] = scores[place - start - 1].argmax()
            is_read = False
        if to_end and not is_read:
            scores = self.model(written[None, start:])[0, :-1]
        return start, written, scores

    def _both_sides(self, hidden: list[int]) -> Float[Tensor, "T V"]:
        """For each token the scores where it stands, while it and the gaps are hidden."""
        texts = self.ids.repeat(len(self.ids), 1)  # (T, T)
        if self.filler is not None:
            are_hidden = torch.eye(len(texts), dtype=torch.bool, device=texts.device)
            are_hidden[:, hidden] = True
            return self.filler(texts, are_hidden, torch.arange(len(texts), device=texts.device))
        texts[:, hidden] = readers.MASK_ID
        texts.fill_diagonal_(readers.MASK_ID)
        return self.model(texts).diagonal().T

    def _gap(self, scores: Float[Tensor, " V"], place: int, passes: int) -> dict[str, Any]:
        """The likeliest tokens and their shares; the surprise and rank of the hidden one."""
        logs = scores.log_softmax(-1)
        best, own = logs.topk(min(SHOWN, len(logs))), logs[self.ids[place]]
        return {
            "rows": [
                [self.named(i), round(math.exp(log), 6)]
                for i, log in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ],
            "bits": round(-own.item() / math.log(2), 4),
            "rank": int((logs > own).sum()) + 1,
            "passes": passes,
        }


def _telling(tokens: list[str]) -> int:
    """The place to begin with: the longest whole word that something stands before and behind, or the middle.

    Of several as long it is the one nearest to the middle.

    Example:
        >>> _telling(["It", " was", " ra", "ining", " on", " us", "."]), _telling([*"abcd"])
        (1, 2)
    """
    middle = len(tokens) // 2
    words = [
        place
        for place in range(1, len(tokens) - 1)
        if tokens[place][:1] == " " and tokens[place][1:].isalpha() and not tokens[place + 1][:1].isalnum()
    ]
    return max(words, key=lambda place: (len(tokens[place]), -abs(place - middle)), default=middle)


def _with(found: dict[str, Any], name: str, key: str, answer: Any) -> dict[str, Any]:
    """The same with one more answer of a model."""
    return {**found, name: {**found[name], key: answer}}


def _key(hidden: list[int], token: int | None = None) -> str:
    """The name of what is asked; the page makes the same.

    Example:
        >>> _key([3, 7]), _key([7], 3)
        ('3,7', '7;3')
    """
    places = ",".join(map(str, hidden))
    return places if token is None else f"{places};{token}"
