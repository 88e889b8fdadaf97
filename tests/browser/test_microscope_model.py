"""The microscope's page with the model itself in it: its numbers are Python's, and so are its answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import small_gguf
import torch
from chromium import found_by_axe
from explorers import ask
from playwright.sync_api import Error, Locator, Page, Route, expect

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT
from course_lib.generation import next_token_probabilities
from course_lib.gguf_file import PackedTensor, read_gguf
from course_lib.pretrained import load_gguf
from course_lib.probing import heads_off, layers_skipped
from course_lib.widgets import microscope
from course_lib.widgets.microscope import MOST_TOKENS, Microscope
from course_lib.widgets.microscope.recording import Reading, unpacked_all

from .test_microscope import percent

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Letters, a special token, pieces that are no letters, and pairs; the last is the one that is merged.
NAMES = [*LETTERS, "Ġ", "<end>", "â", "Ġâĺ", "ÃŃ", "ð", *(a + b for a in "abcdefgh" for b in LETTERS)]
TOKENS = [*dict.fromkeys(name for name in NAMES if name != "ca"), "ca"]
D, D_FF, L, H = 96, 64, small_gguf.LAYERS, small_gguf.HEADS
TEXT, OWN = "a cat sat", "a dog ate<end> it"
ALL_ON: dict[str, Any] = {"off": [], "skipped": []}
SOME_OFF = {"off": [[0, 1], [1, 2]], "skipped": [1]}


def write(path: Path, tied: bool = True, **options: str) -> Path:
    """Packed as SmolLM2 is, but for the queries, which are not packed."""
    rng = np.random.default_rng(0)
    tensors: dict[str, Any] = dict.fromkeys(small_gguf.NORMS, np.linspace(0.5, 1.5, D, dtype=np.float32))
    shapes = small_gguf.shapes(len(TOKENS), D, D_FF) | ({} if tied else {"output": (len(TOKENS), D)})
    for name, shape in shapes.items():
        weights = rng.normal(size=shape).astype(np.float32) * 0.3
        kind = gguf.GGMLQuantizationType["Q4_1" if name.startswith("blk") else "Q8_0"]
        if not name.endswith("attn_q"):
            tensors[name] = PackedTensor(shape, kind, gguf.quantize(weights, kind))
        else:
            tensors[name] = weights
    return small_gguf.write(path, tensors, tokens=TOKENS, d_model=D, d_ff=D_FF, **options)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "small model.gguf", pre="smollm")


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
def served(page: Page, html: str, file: Path) -> Iterator[Page]:
    """The page beside the file, as a server has them."""
    page.route("http://localhost/scope/", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.route("**/*.gguf", lambda route: route.fulfill(path=file))
    page.goto("http://localhost/scope/")
    page.wait_for_selector(".t")
    yield page
    page.evaluate("caches.delete('microscope')")


# ---------------------------------------------------------------------------------------- its numbers


class Asked:
    """What runs in the worker, in the page itself, so that a test can ask it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(
            """async () => {
                const { textContent, dataset } = document.getElementById("worker");
                const shown = "Object.assign(window, { Model, Reading, loaded, readGGUF, nextChances })";
                (0, eval)(`${textContent}; ${shown};`);
                const file = { url: new URL(dataset.file, location.href).href, size: Number(dataset.bytes) };
                window.reading = new Reading(await loaded(file, () => {}), "small");
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
            halves = np.stack([own & 15, own >> 4]).astype(int) - np.stack([array & 15, array >> 4])
            assert np.abs(halves).max() <= 1, name  # a number between two levels
            assert np.mean(halves != 0) < 0.002, name
        else:
            np.testing.assert_array_equal(own, array, err_msg=name)
    others = found.keys() - {"arrays", "pieces", "model", "scale", "low"}
    assert {name: found[name] for name in others} == {name: expected[name] for name in others}
    assert expected.keys() <= found.keys()
    for name in {"scale", "low"} & expected.keys():
        assert found[name] == pytest.approx(expected[name], rel=1e-4)


def pythons(small: tuple[GPT, BPETokenizer], ids: list[int], changes: dict, lens_of: Any = (0,)) -> dict:
    off = [(layer, head) for layer, head in changes["off"]]
    return Reading(*small, ids, 2).recording(off=off, skipped=changes["skipped"], lens_of=lens_of)


def test_a_recording_is_pythons(asked: Asked, small) -> None:
    ids = small[1].encode(OWN)
    lens_of = [0, 3, len(ids) - 1]
    for changes in (ALL_ON, SOME_OFF, {"off": [], "skipped": [0, 1]}):
        expected = pythons(small, ids, changes, lens_of)
        is_same(asked("recording", ids=ids, given=2, lensOf=lens_of, **changes), expected)
    assert asked("recording", ids=ids, given=4)["lens_of"] == []


def test_a_text_that_goes_on_is_the_same_as_one_read_anew(asked: Asked, small) -> None:
    """What the tokens before have been is not computed again."""
    ids = small[1].encode(OWN)
    for some in (ids[:4], ids, ids[:6], [*ids[:3], 7, *ids[3:5]], [9, *ids]):
        for changes in (ALL_ON, SOME_OFF):
            found = asked("recording", ids=some, given=2, lensOf=[0], **changes)
            is_same(found, pythons(small, some, changes))


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
            assert [row["best"] for row in rows] == [
                needs["pieces"][n] for n in arrays["off_id"][layer, head]
            ]


def test_what_is_drawn_has_pythons_chances(asked: Asked, small) -> None:
    ids = small[1].encode(OWN)
    with torch.no_grad():
        logits = small[0](torch.tensor([ids]))[0, 4]
    for temperature, top_k, top_p in (
        *((1.0, 0, 1), (0.5, 3, 1), (2.0, 0, 0.6), (1.3, 20, 0.3)),
        *((0.0, 5, 0.5), (1.0, 1000, 0.999), (1.0, 2, 1e-9)),
    ):
        told = {"temperature": temperature, "topK": top_k, "topP": top_p}
        found = asked.page.evaluate(
            "([ids, told]) => nextChances(reading.pass({ ids }).logits[4], told)", [ids, told]
        )
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
        counted = np.array(asked("draws", ids=ids, n=5, times=500, **told))
        np.testing.assert_allclose(counted / 500, expected[logits.topk(10).indices], atol=0.1)


def test_a_text_has_pythons_tokens(asked: Asked, small) -> None:
    for text in (
        *("cat", "ca ca  ca", "a<end>b<end><end>", "\n\t a", "x" * 40, "é¡naïve", "1 23", "אב", " "),
        *("👩‍👩‍👧 a", "\ufeffa", "caf\u0301 ð", "don't ca'"),
    ):
        ids = small[1].encode(text)
        if ids:
            assert asked("encode", text=text) == ids
        else:
            assert "has no token that the model knows" in refused(asked, "encode", text=text)


def refused(asked: Asked, kind: str, **fields: object) -> str:
    with pytest.raises(Error) as found:
        asked(kind, **fields)
    return found.value.message


def test_what_cannot_be_read_is_refused_in_pythons_words(asked: Asked, small) -> None:
    scope = Microscope(*small, "a")
    for text in ("", "z" * 2001, "z" * (MOST_TOKENS + 1), "°"):
        said = ask(scope, "read", text=text)
        assert said
        assert said in refused(asked, "encode", text=text)
    scope.text = "z" * MOST_TOKENS
    said = ask(scope, "append", token=1, n=MOST_TOKENS)
    assert said in refused(asked, "recording", ids=[0] * (MOST_TOKENS + 1), given=1)


def test_a_file_is_read_as_python_reads_it(asked: Asked, file: Path) -> None:
    metadata, tensors = read_gguf(file)
    values, sizes = asked.page.evaluate(
        """async () => {
            const { values, tensors } = readGGUF(await (await fetch("small.gguf")).arrayBuffer());
            return [values, Object.entries(tensors).map(([name, { rows, width }]) => [name, rows, width])];
        }"""
    )
    assert values == metadata
    assert {name: (rows, width) for name, rows, width in sizes} == {
        name: (1, *tensor.shape)[-2:] for name, tensor in tensors.items()
    }


def test_other_files_of_the_kind(asked: Asked, tmp_path: Path) -> None:
    """An output layer of its own, and a tokenizer that leaves digits together."""
    path = write(tmp_path / "other.gguf", tied=False, pre="gpt-2")
    model, tokenizer = load_gguf(path, torch.device("cpu"))
    ids = tokenizer.encode(OWN)
    made = "new Model(await (await fetch('other.gguf')).arrayBuffer())"
    asked.page.route("**/other.gguf", lambda route: route.fulfill(path=path))
    told = "[m.tokenizer.digits, m.run(ids).logits.map(x => [...x])]"
    digits, found = asked.page.evaluate(f"async ids => {{ const m = {made}; return {told}; }}", ids)
    with torch.no_grad():
        np.testing.assert_allclose(found, model(torch.tensor([ids]))[0], atol=1e-3)
    assert digits is tokenizer.split_digits is False
    for changes, said in (
        ({"architecture": "qwen2"}, "it holds qwen2,gpt2; expected llama and gpt2"),
        ({"pre": "llama-bpe"}, "its tokenizer finds words by llama-bpe; expected gpt-2 or smollm"),
    ):
        write(path, **changes)
        with pytest.raises(Error, match=re.escape(said)):
            asked.page.evaluate(f"async () => {{ {made}; }}")


# ---------------------------------------------------------------------------------------- the page


class Scope:
    """The page as a reader has it."""

    def __init__(self, page: Page) -> None:
        self.page, self.box = page, page.locator(".cx")
        self.said = self.box.get_by_role("status")
        self.error = self.box.get_by_role("alert")
        self.field = self.box.get_by_label("Your text")
        self.send = self.box.locator(".writing .push")
        self.words = self.box.locator(".t b")

    def button(self, name: str) -> Locator:
        return self.box.get_by_role("button", name=name)

    def tab(self, name: str) -> None:
        self.box.get_by_role("tab", name=name).click()

    def write(self, text: str) -> None:
        self.button("Own text").click()
        self.field.fill(text)
        self.send.click()


@pytest.fixture
def scope(served: Page) -> Scope:
    return Scope(served)


def seen(tokenizer: BPETokenizer, text: str) -> list[str]:
    return [tokenizer.decode([i]).strip() or "␣" for i in tokenizer.encode(text)]


def named(piece: str) -> str:
    """A piece in a list."""
    return piece.strip() if piece.startswith(" ") else f"…{piece}"


def chances(small: tuple[GPT, BPETokenizer], ids: list[int], changes: dict = ALL_ON) -> list[float]:
    """Of the token after the last."""
    off = [(layer, head) for layer, head in changes["off"]]
    with torch.no_grad(), heads_off(small[0], off), layers_skipped(small[0], changes["skipped"]):
        return small[0](torch.tensor([ids]))[0, -1].softmax(-1).tolist()


def test_what_was_not_recorded_needs_the_model(scope: Scope, small) -> None:
    for layer in ("0", "1"):
        scope.box.get_by_label("Layer", exact=True).fill(layer)
        scope.button(f"Switch {layer}.2 off").click()
    expect(scope.error).to_have_text("This needs the model itself: “Own text” loads it.")
    # What is done next takes the refusal back; draws need no model.
    scope.tab("What comes next")
    expect(scope.error).to_be_empty()
    scope.button("All on again").click()
    scope.box.get_by_label("Top-k").fill("1")
    scope.button("Draw 100").click()
    expect(scope.box.locator("button.row").first).to_contain_text("drawn 100 times")
    scope.box.locator("button.row").nth(2).click()
    expect(scope.error).to_have_text("This needs the model itself: “Own text” loads it.")
    scope.button("Own text").click()
    expect(scope.error).to_be_empty()
    expect(scope.field).to_have_value(TEXT)
    expect(scope.send).to_have_text(re.compile("^Load the model: 0.1 MB, once"))
    scope.button("Cancel").click()
    expect(scope.button("Own text")).to_be_focused()
    expect(scope.words).to_have_text([*seen(small[1], TEXT)])


def test_own_text_and_all_that_is_asked_of_it(scope: Scope, small) -> None:
    tokenizer = small[1]
    ids = tokenizer.encode(OWN)
    scope.write(OWN)
    expect(scope.words).to_have_text(seen(tokenizer, OWN))
    expect(scope.box.locator(".source")).to_contain_text("Computed by this page.")
    p = chances(small, ids)
    first = p.index(max(p))
    expect(scope.box.locator(".ghost")).to_contain_text(percent(p[first]))
    # Several parts off at once.
    for layer, head in ((0, 1), (1, 0)):
        scope.box.get_by_label("Layer", exact=True).fill(str(layer))
        scope.box.get_by_label("Head", exact=True).fill(str(head))
        scope.button(f"Switch {layer}.{head} off").click()
    without = chances(small, ids, {"off": [[0, 1], [1, 0]], "skipped": []})
    expect(scope.said).to_contain_text(f" gets {percent(without[first])} instead of {percent(p[first])}")
    # What each layer would say: with these off, with a layer skipped as well, and with all on again.
    scope.tab("What each layer would say")
    reading = Reading(*small, ids)
    for off, skipped in (([(0, 1), (1, 0)], []), ([(0, 1), (1, 0)], [1]), ([], [])):
        if skipped:
            scope.button("Skip layer 1").click()
        elif not off:
            scope.button("All on").click()
        found = reading.lens(len(ids) - 1, off=off, skipped=skipped)
        arrays = unpacked_all(found["arrays"])
        for layer in range(L):
            scope.box.get_by_label("Layer", exact=True).fill(str(layer))
            told = f"Layer {layer}: {named(found['pieces'][arrays['lens_id'][layer, 0, 0]])} "
            told += percent(float(arrays["lens_p"][layer, 0, 0]))
            expect(scope.box.locator(".cx-text")).to_contain_text(told)
    # Which head is needed: measured when it is asked for.
    scope.tab("Who looks where")
    scope.box.get_by_label("needs the head").check()
    expect(scope.box.get_by_label("Heads that were switched off")).to_be_hidden()
    alone = [
        chances(small, ids, {"off": [[layer, head]], "skipped": []})[first]
        for layer, head in np.ndindex(L, H)
    ]
    bright = scope.box.locator(".map i").evaluate_all(
        "nodes => nodes.map(node => Number(node.style.getPropertyValue('--w')))"
    )
    for shown, q in zip(bright, alone, strict=True):
        assert shown == pytest.approx(min(abs(p[first] - q) / p[first], 1), abs=0.003)
    # What one head brings.
    scope.tab("The whole way")
    scope.button("Attention: open").click()
    words = reading.words(1, 0)
    best = unpacked_all(words["arrays"])["words"][-1, 0]
    expect(scope.box.locator(".way")).to_contain_text(named(words["pieces"][best]))
    # Back to what was recorded, and to what cannot be read.
    scope.box.get_by_label("Text", exact=True).select_option(TEXT)
    expect(scope.box.locator(".source")).to_contain_text("Recorded")
    scope.write("°")
    expect(scope.error).to_have_text("The text has no token that the model knows: type another one.")
    expect(scope.field).to_have_attribute("aria-invalid", "true")
    expect(scope.words.first).to_be_hidden()


def test_next_tokens_are_taken_and_drawn(scope: Scope, small) -> None:
    tokenizer = small[1]
    ids = tokenizer.encode(OWN)
    p = chances(small, ids)
    scope.write(OWN)
    expect(scope.words).to_have_count(len(ids))
    # Taken, drawn, drawn often, taken back.
    scope.tab("What comes next")
    scope.box.locator("button.row").nth(2).click()
    third = sorted(range(len(TOKENS)), key=lambda i: -p[i])[2]
    expect(scope.words).to_have_count(len(ids) + 1)
    expect(scope.words.last).to_have_text(tokenizer.decode([third]).strip())
    scope.box.get_by_label("Top-k").fill("1")
    scope.button("Draw one").click()
    expect(scope.words).to_have_count(len(ids) + 2)
    q = chances(small, [*ids, third])
    expect(scope.words.last).to_have_text(tokenizer.decode([q.index(max(q))]).strip())
    scope.button("Draw 100").click()
    expect(scope.box.locator("button.row").first).to_contain_text("drawn 100 times")
    scope.button("Take one back").click()
    expect(scope.words).to_have_count(len(ids) + 1)
    expect(scope.error).to_be_empty()


# The worker hears of each head that is to be measured a third of a second later.
SLOW = """() => {
    const { postMessage } = Worker.prototype;
    window.measured = 0;
    Worker.prototype.postMessage = function (message) {
        if (message.kind !== "need") return postMessage.call(this, message);
        window.measured += 1;
        setTimeout(() => postMessage.call(this, message), 300);
    };
}"""


def test_what_is_slow_can_be_left(scope: Scope, small) -> None:
    page = scope.page
    page.evaluate(SLOW)
    scope.write(OWN)
    expect(scope.words).to_have_text(seen(small[1], OWN))
    bar = scope.box.get_by_label("Heads that were switched off")
    scope.box.get_by_label("needs the head").check()
    expect(bar).to_be_visible()
    page.wait_for_function("window.measured > 0")
    # Meanwhile other questions are answered.
    scope.button("Switch 1.2 off").click()
    expect(scope.said).to_contain_text("with head 1.2 off")
    scope.button("1.2 on again").click()
    expect(bar).to_be_visible()
    # Another question of the map and another view stop it.
    needs = scope.box.get_by_label("needs the head")
    first = scope.box.get_by_label("tokens look at the first")
    for leave, back in (
        (first.check, needs.check),
        (lambda: scope.tab("What comes next"), lambda: scope.tab("Who looks where")),
    ):
        leave()
        page.wait_for_timeout(400)
        before = page.evaluate("window.measured")
        page.wait_for_timeout(700)
        assert page.evaluate("window.measured") == before
        back()
        page.wait_for_function(f"window.measured > {before}")
    # Of another text the other one's heads are told.
    scope.write("tea")
    expect(scope.words).to_have_text([*"tea"])
    expect(bar).to_be_hidden()
    ids = small[1].encode("tea")
    p, q = (chances(small, ids, {"off": off, "skipped": []}) for off in ([], [[1, 2]]))
    best = p.index(max(p))
    expect(scope.said).to_contain_text(f" {'falls' if q[best] < p[best] else 'rises'} to {percent(q[best])}")
    expect(scope.error).to_be_empty()


def test_the_model_is_fetched_once_and_the_link_says_all(scope: Scope, small) -> None:
    fetched = []
    scope.page.on("request", lambda request: fetched.append(request.url) if "gguf" in request.url else None)
    scope.write(OWN)
    expect(scope.words).to_have_text(seen(small[1], OWN))
    scope.box.get_by_label("Layer", exact=True).fill("0")
    for head in ("1", "2"):
        scope.box.get_by_label("Head", exact=True).fill(head)
        scope.button(f"Switch 0.{head} off").click()
    scope.box.locator(".t").nth(3).click()
    expect(scope.said).to_contain_text("with head 0.1 and head 0.2 off")
    told = str(scope.said.text_content())
    scope.page.reload()
    expect(scope.said).to_have_text(told)
    expect(scope.words).to_have_text(seen(small[1], OWN))
    scope.button("Own text").click()
    expect(scope.send).to_have_text("ReadRead")
    assert len(fetched) == 1
    # Where the model is not, a link to a text of one's own asks for it.
    scope.page.evaluate("caches.delete('microscope')")
    scope.page.reload()
    expect(scope.field).to_have_value(OWN)
    expect(scope.send).to_contain_text("Load the model")
    expect(scope.box.locator(".source")).to_contain_text("Recorded")


def test_loading_can_be_stopped(scope: Scope, small, file: Path) -> None:
    waiting: list[Route] = []
    scope.page.route("**/*.gguf", lambda route: waiting.append(route))
    scope.write(OWN)
    expect(scope.box.get_by_label("Loaded so far")).to_be_visible()
    expect(scope.send).to_be_disabled()
    expect(scope.box).to_have_attribute("aria-busy", "true")
    # What was recorded is answered meanwhile.
    scope.button("Switch 1.2 off").click()
    expect(scope.said).to_contain_text("with head 1.2 off")
    scope.button("Cancel").click()
    expect(scope.box).not_to_have_attribute("aria-busy", "true")
    expect(scope.error).to_be_empty()
    expect(scope.words).to_have_text(seen(small[1], TEXT))
    scope.page.route("**/*.gguf", lambda route: route.fulfill(path=file))
    scope.write(OWN)
    expect(scope.words).to_have_text(seen(small[1], OWN))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 404}, "there is no small model.gguf beside this page."),
        ({"body": b"GGUF"}, "small model.gguf: it ends after 4 bytes of {size}."),
        ({"body": b"no" * 100_000}, "small model.gguf: offset is out of bounds."),
        ({"body": "same size"}, "small model.gguf: it does not begin as one."),
        (None, "Failed to fetch"),
    ],
)
def test_a_file_that_is_not_there_or_another(
    scope: Scope, small, file: Path, watch, answer: dict | None, said: str
) -> None:
    size = file.stat().st_size

    def other(route: Route) -> None:
        if answer is None:
            route.abort()
        elif answer.get("body") == "same size":
            route.fulfill(body=bytes(size))
        else:
            route.fulfill(**answer)

    watch.expected = {
        "Failed to load resource: the server responded with a status of 404 (Not Found)",
        "Failed to load resource: net::ERR_FAILED",
    }
    scope.page.route("**/*.gguf", other)
    scope.write(OWN)
    expect(scope.error).to_have_text("The model was not loaded: " + said.format(size=f"{size:,}"))
    expect(scope.field).to_have_value(OWN)
    # Nothing of it is kept, and the next attempt may go well.
    scope.page.unroute("**/*.gguf", other)
    scope.send.click()
    expect(scope.words).to_have_text(seen(small[1], OWN))


def test_an_old_file_in_the_store_is_replaced(scope: Scope, small) -> None:
    old = "async () => (await caches.open('microscope')).put('small%20model.gguf', new Response('old'))"
    scope.page.evaluate(old)
    scope.page.reload()
    scope.write(OWN)
    expect(scope.error).to_contain_text("it ends after 3 bytes of")
    scope.send.click()
    expect(scope.words).to_have_text(seen(small[1], OWN))


def test_a_page_from_a_file_offers_what_it_knows(page: Page, html: str, tmp_path: Path, small) -> None:
    (tmp_path / "scope.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "scope.html").as_uri())
    scope = Scope(page)
    expect(scope.button("Own text")).to_be_hidden()
    scope.tab("What comes next")
    p = chances(small, small[1].encode(TEXT))
    first = p.index(max(p))
    assert first != 3  # which was recorded
    expect(scope.box.locator(".take")).to_be_hidden()
    scope.box.get_by_label("Top-k").fill("1")
    scope.button("Draw one").click()
    expect(scope.said).to_contain_text("Drawn: ")
    expect(scope.said).to_contain_text(", with 100 %. To go on from it needs the model.")
    expect(scope.box.locator("button.row").first).to_have_attribute("data-drawn", "")
    expect(scope.error).to_be_empty()


def test_nothing_is_cut_while_it_loads(scope: Scope) -> None:
    scope.page.route("**/*.gguf", lambda route: None)
    scope.write(OWN)
    for width in (1000, 760, 390, 320):
        scope.page.set_viewport_size({"width": width, "height": 768})
        scope.page.wait_for_timeout(200)
        assert scope.page.evaluate("document.documentElement.scrollWidth") <= width
        assert scope.field.bounding_box()["width"] > 60
        assert found_by_axe(scope.page, scope.box, f"loading at {width}") == []
