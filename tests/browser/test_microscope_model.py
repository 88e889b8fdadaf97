"""The microscope's page with the model itself in it: its numbers are Python's, and it answers as Python does."""

import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import small_gguf
import torch
from explorers import ask
from playwright.sync_api import Error, Locator, Page, Route, expect

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT
from course_lib.generation import next_token_probabilities
from course_lib.gguf_file import PackedTensor, read_gguf
from course_lib.pretrained import load_gguf
from course_lib.widgets import microscope
from course_lib.widgets.microscope import MOST_TOKENS, Microscope
from course_lib.widgets.microscope.recording import Reading, unpacked_all

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Letters, a special token, pieces that are no letters, names of 251 tokens in all; the last is the one merge.
NAMES = [*LETTERS, "Ġ", "<end>", "â", "Ġâĺ", "ÃŃ", "ð", *(a + b for a in "abcdefgh" for b in LETTERS)]
TOKENS = [*dict.fromkeys(name for name in NAMES if name != "ca")][:250] + ["ca"]
D, D_FF, L, H = 96, 64, small_gguf.LAYERS, small_gguf.HEADS
TEXT, OWN = "a cat sat", "a dog ate<end> it"
ALL_ON: dict[str, Any] = {"off": [], "skipped": []}
SOME_OFF = {"off": [[0, 1], [1, 2]], "skipped": [1]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed as SmolLM2 is, but for the queries, which are not packed."""
    rng = np.random.default_rng(0)
    tensors: dict[str, Any] = dict.fromkeys(small_gguf.NORMS, np.linspace(0.5, 1.5, D, dtype=np.float32))
    for name, shape in small_gguf.shapes(len(TOKENS), D, D_FF).items():
        weights = rng.normal(size=shape).astype(np.float32) * 0.3
        kind = gguf.GGMLQuantizationType["Q8_0" if name == "token_embd" else "Q4_1"]
        if not name.endswith("attn_q"):
            tensors[name] = PackedTensor(shape, kind, gguf.quantize(weights, kind))
        else:
            tensors[name] = weights
    path = tmp_path_factory.mktemp("model") / "small model.gguf"
    return small_gguf.write(path, tensors, tokens=TOKENS, d_model=D, d_ff=D_FF, pre="smollm")


@pytest.fixture(scope="module")
def small(file: Path) -> tuple[GPT, BPETokenizer]:
    return load_gguf(file, torch.device("cpu"))


@pytest.fixture(scope="module")
def html(file: Path, small: tuple[GPT, BPETokenizer]) -> str:
    """The page with one recorded text, of which one more token is recorded."""
    ids = small[1].encode(TEXT)
    saved = {**Reading(*small, [*ids, 3], len(ids)).everything(), "model": "small"}
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(microscope, "recordings", lambda: (saved,))
        return microscope.page(file)


@pytest.fixture
def served(page: Page, html: str, file: Path) -> Page:
    """The page beside the file, as a server has them."""
    page.route("http://localhost/scope/", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.route("**/*.gguf", lambda route: route.fulfill(path=file))
    page.goto("http://localhost/scope/")
    page.wait_for_selector(".t")
    return page


# ---------------------------------------------------------------------------------------- its numbers


class Asked:
    """What runs in the worker, in the page itself, so that a test can ask it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(
            """async () => {
                const { textContent, dataset } = document.getElementById("worker");
                (0, eval)(`${textContent}; Object.assign(window, { Reading, loaded, readGGUF, nextChances });`);
                const url = new URL(dataset.file, location.href).href;
                window.reading = new Reading(await loaded({ url, size: Number(dataset.bytes) }, () => {}), "small");
            }"""
        )

    def __call__(self, kind: str, **fields: object) -> Any:
        return self.page.evaluate(
            """([kind, fields]) => {
                const listed = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
                return JSON.parse(JSON.stringify(reading[kind](fields), listed));
            }""",
            [kind, fields],
        )


@pytest.fixture
def asked(served: Page) -> Asked:
    return Asked(served)


def opened(found: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of an answer of the page."""
    return {
        name: np.array(each["data"], each["type"]).reshape(each["shape"])
        for name, each in found["arrays"].items()
    }


def is_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """All that the page uses, array by array."""
    theirs, ours = opened(found), unpacked_all(expected["arrays"])
    assert theirs.keys() == ours.keys()
    # Two scores that are the same to three digits may come in another order.
    tied = np.abs(np.diff(ours.get("next_logits", np.zeros((1, 0))), prepend=np.inf, append=-np.inf)) < 1e-3
    tied = tied[:, 1:] | tied[:, :-1]
    for name, array in ours.items():
        own = theirs[name]
        assert (own.shape, own.dtype) == (array.shape, array.dtype), name
        if name.endswith("_id") or name in ("next_ids", "words"):
            named = np.array(found["pieces"])[own] == np.array(expected["pieces"])[array]
            assert (named | tied if name == "next_ids" else named).all(), name
        elif name == "next_tokens":
            assert ((own == array) | tied).all()
        elif array.dtype == np.float32:
            np.testing.assert_allclose(own, array, rtol=1e-3, atol=1e-4, err_msg=name)
        elif name == "rest":
            # A score at the edge of a step may be counted on its other side.
            assert np.abs((own.astype(int) - array).cumsum(1)).max() <= 1, name
            assert (own.sum(1) == array.sum(1)).all()
        elif name == "scores":
            assert np.abs(own.astype(int) - array).max() <= 1
        elif array.dtype == np.uint8:
            halves = [np.abs((own & 15).astype(int) - (array & 15)), np.abs((own >> 4).astype(int) - (array >> 4))]
            assert (np.max(halves) <= 1) and np.mean(halves) < 0.002, name  # a number between two levels
        else:
            np.testing.assert_array_equal(own, array, err_msg=name)
    others = found.keys() - {"arrays", "pieces", "model", "scale", "low"}
    assert {name: found[name] for name in others} == {name: expected[name] for name in others}
    assert expected.keys() <= found.keys()
    for name in {"scale", "low"} & expected.keys():
        assert found[name] == pytest.approx(expected[name], rel=1e-4)


def pythons(small: tuple[GPT, BPETokenizer], ids: list[int], given: int, changes: dict, lens_of: Any = (0,)) -> dict:
    off = [(layer, head) for layer, head in changes["off"]]
    return Reading(*small, ids, given).recording(off=off, skipped=changes["skipped"], lens_of=lens_of)


@pytest.mark.parametrize("changes", [ALL_ON, SOME_OFF, {"off": [], "skipped": [0, 1]}])
def test_a_recording_is_pythons(asked: Asked, small, changes: dict) -> None:
    ids = small[1].encode(OWN)
    lens_of = [0, 3, len(ids) - 1]
    expected = pythons(small, ids, 4, changes, lens_of)
    is_same(asked("recording", ids=ids, given=4, lensOf=lens_of, **changes), expected)
    assert asked("recording", ids=ids, given=4, **changes)["lens_of"] == []


def test_a_text_that_goes_on_is_the_same_as_one_read_anew(asked: Asked, small) -> None:
    """What the tokens before have been is not computed again."""
    ids = small[1].encode(OWN)
    for some in (ids[:4], ids, ids[:6], [*ids[:3], 7, *ids[3:5]], [9, *ids]):
        is_same(asked("recording", ids=some, given=2, lensOf=[0], **ALL_ON), pythons(small, some, 2, ALL_ON))
        is_same(asked("recording", ids=some, given=2, lensOf=[0], **SOME_OFF), pythons(small, some, 2, SOME_OFF))


def test_more_of_a_recording_is_pythons(asked: Asked, small) -> None:
    ids = small[1].encode(OWN)
    reading = Reading(*small, ids)
    is_same(asked("lens", ids=ids, token=2, **ALL_ON), reading.lens(2))
    is_same(asked("lens", ids=ids, token=5, **SOME_OFF), reading.lens(5, off=[(0, 1), (1, 2)], skipped=[1]))
    for layer, head in ((0, 0), (1, 2)):
        is_same(asked("words", ids=ids, layer=layer, head=head), reading.words(layer, head))
    needs = reading.needs(range(L))
    arrays = unpacked_all(needs["arrays"])
    for layer in range(L):
        for head in range(H + 1):
            rows = asked("need", ids=ids, layer=layer, head=head)
            np.testing.assert_allclose(
                [row["p"] for row in rows], arrays["off_p"][layer, head] / 65535, atol=2e-5
            )
            assert [row["best"] for row in rows] == [needs["pieces"][n] for n in arrays["off_id"][layer, head]]


@pytest.mark.parametrize(
    "settings",
    [(1.0, 0, 1), (0.5, 3, 1), (2.0, 0, 0.6), (1.3, 20, 0.3), (0.0, 5, 0.5), (1.0, 1000, 0.999), (1.0, 2, 1e-9)],
)
def test_what_is_drawn_has_pythons_chances(asked: Asked, small, settings: tuple) -> None:
    temperature, top_k, top_p = settings
    ids = small[1].encode(OWN)
    told = {"temperature": temperature, "topK": top_k, "topP": top_p}
    found = asked.page.evaluate(
        "([ids, n, told]) => nextChances(reading.pass({ ids }).logits[n - 1], told)", [ids, 5, told]
    )
    with torch.no_grad():
        logits = small[0](torch.tensor([ids]))[0, 4]
    expected = next_token_probabilities(
        logits, temperature=temperature, top_k=top_k or None, top_p=None if top_p == 1 else top_p
    )
    chances = np.zeros(len(TOKENS))
    chances[[token for token, _ in found]] = [p for _, p in found]
    np.testing.assert_allclose(chances, expected, atol=1e-5)
    drawn = np.array(asked("drawn", ids=ids, n=5, times=2000, **told))
    shares = np.bincount(drawn, minlength=len(TOKENS)) / 2000
    assert (shares[expected == 0] == 0).all()
    assert np.abs(shares - expected.numpy()).max() < 0.06
    counted = asked("draws", ids=ids, n=5, times=500, **told)
    ten = logits.topk(10).indices
    np.testing.assert_allclose(np.array(counted) / 500, expected[ten], atol=0.1)


@pytest.mark.parametrize(
    "text",
    ["cat", "ca ca  ca", "a<end>b<end><end>", "\n\t a", "x" * 40, "é¡naïve", "1 23", "אב", "👩‍👩‍👧 a", "\ufeffa", " "],
)
def test_a_text_has_pythons_tokens(asked: Asked, small, text: str) -> None:
    ids = small[1].encode(text)
    if ids:
        assert asked("encode", text=text) == ids
    else:
        assert "has no token that the model knows" in str(refused(asked, "encode", text=text))


def refused(asked: Asked, kind: str, **fields: object) -> str:
    with pytest.raises(Error) as found:
        asked(kind, **fields)
    return found.value.message


@pytest.mark.parametrize("text", ["", "z" * 2001, "z" * (MOST_TOKENS + 1), "°"])
def test_what_cannot_be_read_is_refused_in_pythons_words(asked: Asked, small, text: str) -> None:
    scope = Microscope(*small, "a")
    said = ask(scope, "read", text=text)
    assert said
    assert said in refused(asked, "encode", text=text)
    with_one_more = refused(asked, "recording", ids=[0] * (MOST_TOKENS + 1), given=1)
    scope.text = "z" * MOST_TOKENS
    assert ask(scope, "append", token=1, n=MOST_TOKENS) in with_one_more


def test_a_file_is_read_as_python_reads_it(asked: Asked, file: Path) -> None:
    metadata, tensors = read_gguf(file)
    found = asked.page.evaluate(
        """async () => {
            const { values, tensors } = readGGUF(await (await fetch("small.gguf")).arrayBuffer());
            const sizes = Object.entries(tensors).map(([name, { rows, width }]) => [name, rows, width]);
            return [values, sizes];
        }"""
    )
    assert found[0] == metadata
    assert {name: rows * width for name, rows, width in found[1]} == {
        name: int(np.prod(tensor.shape)) for name, tensor in tensors.items()
    }
