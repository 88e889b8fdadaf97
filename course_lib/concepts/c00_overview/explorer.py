"""The next-word explorer: what a language model would write next, and what the settings make of it."""

from typing import TYPE_CHECKING, Any

from course_lib.widgets.explorer import Explorer, assets
from course_lib.widgets.reading import checked_settings, for_page, settings_text

if TYPE_CHECKING:
    from torch import Tensor

    from course_lib.bpe import BPETokenizer
    from course_lib.decoder import GPT

SHOWN = 10

_ASSETS = assets(__file__)


class NextWord(Explorer):
    """Type a beginning, see the likeliest next tokens before and after the settings, choose one or write on.

    Args:
        model: a `GPT`.
        tokenizer: its tokenizer.
        text: the beginning.
        temperature: from 0 (always the likeliest token) to 2.
        top_k: keep the k likeliest tokens; None: all.
        top_p: keep the fewest likeliest tokens that together have this probability; None: all.
        seed: of the draws; `reset` starts them again.
    Raises: ValueError: an empty text, one beyond the model's context, or a setting out of range.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]

    def __init__(
        self,
        model: "GPT",
        tokenizer: "BPETokenizer",
        text: str = "The capital of France is",
        *,
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._model, self._tokenizer, self._seed = model, tokenizer, seed
        self._first_text = text
        self._generator: Any = None
        self._cache: Any = None
        self._cached: list[int] = []
        self._ids: list[int] = []
        self._n_written = 0  # how many of them, at the end, come from the model
        self._settings = checked_settings(temperature, top_k, top_p)
        self._read(self._encoded(text))
        self._show()

    @property
    def text(self) -> str:
        """The text so far; assign to replace it."""
        return self._tokenizer.decode(self._ids)

    @text.setter
    def text(self, text: str) -> None:
        self._read(self._encoded(text))
        self._n_written = 0
        self._show()

    def settings(self, temperature: float | int, top_k: int | None, top_p: float | int | None) -> None:
        """Change temperature, top-k and top-p; arguments as in the constructor."""
        self._settings = checked_settings(temperature, top_k, top_p)
        self._show()

    def choose(self, token: int) -> None:
        """Append one token to the text; a special token, such as the end of a text, is only told."""
        vocab_size = self._model.config.vocab_size
        if type(token) is not int or not 0 <= token < vocab_size:
            raise ValueError(f"A token is a whole number from 0 to {vocab_size - 1}; got {token!r}.")
        piece = self._piece(token)
        if token in self._tokenizer.special_tokens.values():
            self._show(
                note=f"The model's choice {piece} is no text: it marks a beginning or an end.", ended=True
            )
            return
        limit = self._model.config.max_seq_len
        if len(self._ids) >= limit:
            raise ValueError(f"The text fills the model's context of {limit:,} tokens: shorten it or reset.")
        self._read([*self._ids, token])
        self._n_written += 1
        self._show(note=f"Appended {piece}.")

    def step(self) -> None:
        """Draw one token from the probabilities after the settings and append it."""
        self.choose(self._draw())

    def reset(self) -> None:
        """Back to the first text and the first draws; the settings stay."""
        self._generator = None
        self.text = self._first_text

    def on_text(self, text: str) -> None:
        """The page: another text was typed."""
        self.text = text

    def on_settings(self, temperature: float | int, top_k: int, top_p: float | int) -> None:
        """The page: a slider was moved; top_k 0 and top_p 1 keep all tokens."""
        self.settings(temperature, top_k or None, None if top_p == 1 else top_p)

    def on_choose(self, token: int) -> None:
        """The page: a bar was chosen."""
        self.choose(token)

    def on_step(self) -> None:
        """The page: one more token. Writing on is many of these, so that the kernel is free in between."""
        self.step()

    def on_reset(self) -> None:
        """The page: back to the beginning."""
        self.reset()

    def _encoded(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise ValueError(f"The text must be a string; got {type(text).__name__}.")
        if not text:
            raise ValueError("The text is empty: type at least one character for the model to continue.")
        ids = self._tokenizer.encode(text)
        if not ids:
            raise ValueError("The text has no character that the model knows: type another one.")
        limit = self._model.config.max_seq_len
        if len(ids) > limit:
            raise ValueError(
                f"The text has {len(ids):,} tokens, the model's context holds {limit:,}: shorten it."
            )
        return ids

    def _read(self, ids: list[int]) -> None:
        """Let the model read ids, only what the cache has not seen; keep the scores of the next token."""
        import torch

        with torch.inference_mode():
            if self._cache is None:
                self._cache = self._model.new_cache(1)
            # At least the last token must go through the model: its output is what we are after.
            known = min(_shared(self._cached, ids), len(ids) - 1)
            for layer in self._cache:
                layer.length = known
            device = next(self._model.parameters()).device
            new = torch.tensor([ids[known:]], device=device)
            self._cached = ids[:known]
            self._logits: Tensor = self._model.next_token_logits(new, self._cache)[0]
        self._cached = self._ids = ids

    def _probabilities(self) -> "tuple[Tensor, Tensor]":
        from course_lib.generation import next_token_probabilities

        settings = {name: self._settings[name] for name in ("temperature", "top_k", "top_p")}
        return next_token_probabilities(self._logits), next_token_probabilities(self._logits, **settings)

    def _draw(self) -> int:
        import torch

        _, after = self._probabilities()
        if self._generator is None:
            self._generator = torch.Generator(device=after.device)
            self._generator.manual_seed(self._seed)
        return int(torch.multinomial(after, 1, generator=self._generator))

    def _show(self, note: str = "", ended: bool = False) -> None:
        before, after = self._probabilities()
        likeliest = before.topk(min(SHOWN, len(before))).indices.tolist()
        rows = []
        for token in likeliest:
            row = _row(before[token].item(), after[token].item())
            rows.append({"id": token, "piece": self._piece(token), **row})
        rest_before = max(0.0, 1.0 - sum(row["before"] for row in rows))
        rest_after = max(0.0, 1.0 - sum(row["after"] for row in rows))
        n_kept = int((after > 0).sum())
        if n_kept == sum(row["after"] > 0 for row in rows):
            rest_after = 0.0  # rounding leaves a trace of about 1e-7
        self.show_state(
            text=self.text,
            pieces=[self._piece(token) for token in self._ids[-60:]],
            n_tokens=len(self._ids),
            n_written=self._n_written,
            about=self._about(),
            context=self._model.config.max_seq_len,
            settings={"temperature": self._settings["temperature"], **for_page(self._settings)},
            rows=rows,
            rest={"label": f"{len(before) - len(rows):,} other tokens", **_row(rest_before, rest_after)},
            note=note,
            ended=ended,
            error="",
        )
        self.show_state(description=self._description())

    def _description(self) -> str:
        """The text, the settings and the table of next tokens."""
        state = self.state
        rest = state["rest"]
        rows = [("next token", "before", "after")]
        rows += [(row["piece"], row["before_text"], row["after_text"]) for row in state["rows"]]
        rows.append((rest["label"], rest["before_text"], rest["after_text"]))
        width, before_width, after_width = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"Text: {state['text']}", state["about"], f"Settings: {settings_text(state['settings'])}"]
        for name, before, after in rows:
            lines.append(f"{name:<{width}}  {before:>{before_width}}  {after:>{after_width}}")
        return "\n".join(lines)

    def _about(self) -> str:
        """What a token is, and how the pieces are written."""
        written = " Underlined: the model's own." if self._n_written else ""
        return (
            "A token is a piece of text that the model reads and writes as one: a word, a part of a word, "
            f"a mark. It knows {self._model.config.vocab_size:,}. "
            f"␣ stands for a space, ↵ for a new line.{written}"
        )

    def _piece(self, token: int) -> str:
        text = self._tokenizer.decode([token])
        if not text or "�" in text:
            # Bytes that are a letter only together with their neighbours.
            return f"(part of a character, token {token})"
        return text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥").replace("\r", "␍")


def _row(before: float, after: float) -> dict[str, Any]:
    """The probability of one token, or of all others, before and after the settings."""
    return {
        "before": before,
        "after": after,
        "before_text": _percent(before),
        "after_text": _percent(after),
    }


def _shared(left: list[int], right: list[int]) -> int:
    """How many tokens two texts have in common at the beginning."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def _percent(probability: float) -> str:
    if probability == 0:
        return "0 %"
    if probability < 5e-4:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"
