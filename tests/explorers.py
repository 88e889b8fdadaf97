"""What the tests of explorers share: questions of the page, the frame's promises, a small model."""

import base64
import inspect
import json
from pathlib import Path

import numpy as np
import torch

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.widgets import explorer as frame
from course_lib.widgets.alone import page
from course_lib.widgets.explorer import Explorer

END = 27  # the token of `letter_model` that ends a text


def ask(explorer: Explorer, kind: str, **fields: object) -> str:
    """A question of the page; returns the error, "" if there is none."""
    explorer._receive(explorer, {"request": f"request for {kind}", "kind": kind, **fields})
    assert explorer.state["answered"] == f"request for {kind}"
    return explorer.state["error"]


def keeps_the_frame(explorer: Explorer, *parts: str) -> bool:
    """What an explorer owes to pages, whichever it is; parts: its files, where they are several."""
    # An exported page is JSON, which knows neither infinity nor NaN.
    assert json.loads(json.dumps(explorer.state, allow_nan=False)) == explorer.state
    assert json.loads(json.dumps(explorer.get_state(), allow_nan=False))["state"] == explorer.state
    # Where no widget can be drawn, a sentence about it stands in.
    data = explorer._repr_mimebundle_()[0]
    summary, *_ = str(inspect.getdoc(type(explorer))).splitlines()
    assert data["text/plain"] == f"{summary} {frame.ALIVE}"
    assert "application/vnd.jupyter.widget-view+json" in data
    # What is no question is ignored.
    before = explorer.state
    for content in (None, "text", {}, {"kind": "reset"}, {"request": 3, "kind": "reset"}):
        explorer._receive(explorer, content)
    assert explorer.state == before
    # The module and the style that reach the page are the frame's, then its own.
    folder = Path(inspect.getfile(type(explorer))).parent
    own = [folder / part for part in parts or ("explorer",)]
    for sent, ending in ((explorer._esm, ".js"), (explorer._css, ".css")):
        files = [file.with_suffix(ending) for file in (Path(frame.__file__), *own)]
        assert sent == "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
    assert explorer._esm.count("export default { render };") == 1
    return True


def alone(explorer: Explorer) -> str:
    """A page that shows an explorer as it is saved, without a kernel."""
    return page([explorer], "An explorer")


def unpacked(text: str, kind: type[np.number]) -> np.ndarray:
    """What `packed` packed for a page, as one row of numbers."""
    return np.frombuffer(base64.b64decode(text), np.dtype(kind).newbyteorder("<"))


class Letters:
    """The least that is asked of a tokenizer: no names for the next token."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def pieces(self, text: str) -> list[str]:
        return [*text]


def letter_model() -> tuple[GPT, BPETokenizer]:
    """A model of letters that is decided without training, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "<end>"], [], {"<end>": END})
    model = GPT(LlamaConfig(vocab_size=28, max_seq_len=61, d_model=8, n_layers=2, n_heads=2)).eval()
    with torch.no_grad():
        model.token_embedding.weight.mul_(25)
    return model, tokenizer
