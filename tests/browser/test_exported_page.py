"""A notebook exported with its widgets' state: no kernel, and the explorers still explain every number."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import axe_playwright_python
import nbformat
import numpy as np
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect

from course_lib import readers
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c02_patches.explorer import PatchExplorer
from course_lib.concepts.c03_qkv.explorer import AttentionStepper
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
from course_lib.concepts.c08_rnn_comparison.explorer import ClockExplorer
from course_lib.data import languages
from course_lib.decoder import GPT, LlamaConfig
from course_lib.patches import patchify
from course_lib.probing import heads_off, weights_of

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
HOST = Path(__file__).parent / "static_host.html"
ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    """
import torch
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.concepts.c03_qkv.explorer import AttentionStepper
torch.manual_seed(0)
for word in ("The", " first", " king"):
    print(word, end="", flush=True)
AttentionStepper()
""",
    """
from course_lib.concepts.c01_tokens.explorer import TokenExplorer
TokenExplorer({"ours": BPETokenizer.train("straw raw", 259), "bytes": BPETokenizer.train("-", 256)}, "straw")
""",
    """
from course_lib.concepts.c02_patches.explorer import PatchExplorer
numbers = torch.Generator().manual_seed(0)
grey, full = torch.randint(17, (1, 4, 6), generator=numbers) / 16, torch.ones(1, 8, 8)
pictures = {"full": full, "grey": grey, "blue": torch.ones(3, 8, 8)}
patches = PatchExplorer(pictures, 2, reads=lambda image: f"Read as {image.sum():.0f}.")
patches.on_move(2, -1)
patches
""",
    """
from course_lib.widgets.microscope import Microscope
torch.manual_seed(1)
letters = BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ"], [])
deep = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers=5, n_heads=3)).eval()
Microscope(deep, letters, "acat", layer=4, head=2, key=1, off=[(0, 1)], name="deep")
""",
    """
from course_lib import readers
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
both_ways = {name: (readers.make_reader(causal=causal, seed=0), Characters())
             for name, causal in (("left", True), ("both", False))}
GapExplorer(both_ways, "a gap")
""",
    """
from course_lib.concepts.c08_rnn_comparison import explorer
explorer.ROUNDS = (1, 1)
clock = explorer.ClockExplorer("a rose is a rose", layers=2)
clock.measure()
clock
""",
    "from course_lib.concepts.c05_positions.explorer import PositionsExplorer\nPositionsExplorer(23, 6, 7)",
    'AttentionStepper(["a", "b"], x=[[1, 2], [3, 0]], w_q=[[1], [0.5]], w_k=[[0], [1]], w_v=[[2], [1]])',
]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """The test's output is no place for a list of requests."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page; what it shows comes out of nbconvert's HTML."""
    folder = tmp_path_factory.mktemp("exported")
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS]),
        folder / "explorers.ipynb",
    )
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "explorers.ipynb"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_PATH": str(ROOT / "tools/jupyter")},
        check=True,
        capture_output=True,
        timeout=120,
    )
    page = (folder / "explorers.html").read_text(encoding="utf-8")
    state = json.loads(_scripts(page, "widget-state")[0])["state"]
    views = [json.loads(view)["model_id"] for view in _scripts(page, "widget-view")]
    assert len(views) == len(CELLS)
    (folder / "exported.json").write_text(json.dumps({"state": state, "views": views}))
    shutil.copy(HOST, folder / "index.html")
    shutil.copy(_inside("widgetsnbextension", "static/extension.js"), folder / "extension.js")
    shutil.copy(_inside("anywidget", "nbextension/index.js"), folder / "anywidget.js")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def loaded(context: BrowserContext, exported: str) -> Iterator[Page]:
    page = context.new_page()
    page.goto(exported)
    page.wait_for_selector("body[data-ready]")
    yield page
    page.close()


@pytest.fixture
def saved(loaded: Page, watch) -> Page:
    """The page, loaded once: an explorer is as it was saved for the one test that uses it here."""
    return loaded


def _scripts(page: str, kind: str) -> list[str]:
    return re.findall(
        rf'<script type="application/vnd.jupyter.{kind}\+json">(.*?)</script>', page, flags=re.DOTALL
    )


def _inside(package: str, path: str) -> Path:
    spec = find_spec(package)
    return Path(spec.origin).parent / path


def test_steps_and_traces_without_a_kernel(saved: Page) -> None:
    stepper = saved.locator('section.cx[aria-label="Attention, step by step"]').first
    expect(stepper.locator('[data-table="scale"]')).to_be_hidden()
    stepper.get_by_role("button", name="5 Mix").click()
    stepper.get_by_label("Mask", exact=True).select_option("causal")
    reference = AttentionStepper(mask="causal")
    for stage in ("scores", "scale", "mask", "softmax", "mix"):
        cells = stepper.locator(f'[data-table="{stage}"] tbody td')
        texts = [text.replace("−", "-").replace("∞", "inf") for text in cells.all_text_contents()]
        np.testing.assert_allclose([*map(float, texts)], reference.numbers(stage).ravel(), atol=5e-4)
        for row, column in ((0, 1), (1, 1), (2, 0)):
            cells.nth(3 * row + column).focus()
            expect(stepper.get_by_role("status")).to_have_text(reference.trace(stage, row, column))


def test_tokens_languages_and_replays_without_a_kernel(saved: Page) -> None:
    tokens = saved.locator('section.cx[aria-label="Tokens"]')
    left, right = (tokens.get_by_role("group", name=f"Tokenizer {number}") for number in (1, 2))
    ours = BPETokenizer.train("straw raw", 259)
    last = len(ours.merge_steps("straw")) - 1
    expect(left.locator("ol bdi")).to_have_text([ours.decode([i]) for i in ours.encode("straw")])
    for step in range(1, last + 1):
        left.get_by_role("button", name="Next").click()
        expect(left.get_by_role("status").last).to_contain_text(f"Merge {step} of {last}: ")
    right.get_by_label("Tokenizer").select_option("ours")
    expect(right.get_by_role("status").first).to_contain_text(f"{len(ours.encode('straw'))} tokens")
    tokens.get_by_label("or one sentence in").select_option("Greek")
    expect(tokens.get_by_label("Your text")).to_have_value(languages()["Greek"])
    expect(left.get_by_role("status").first).to_contain_text("times as many")
    expect(tokens.get_by_role("alert")).to_be_empty()


def test_patches_are_cut_shuffled_and_opened_without_a_kernel(saved: Page) -> None:
    patches = saved.locator('section.cx[aria-label="Patches"]')
    numbers = torch.Generator().manual_seed(0)
    grey, blue = torch.randint(17, (1, 4, 6), generator=numbers), torch.full((3, 8, 8), 255)
    reference = PatchExplorer({"grey": grey / 16, "blue": blue / 255}, 2)
    tokens = {
        ("grey", "2"): patchify(grey[None], 2)[0],
        ("grey", "rows"): grey[0],
        ("blue", "4"): patchify(blue[None], 4)[0],
    }
    is_shuffled = False
    text, reading = patches.locator(".cx-text"), patches.locator(".cx-reading")
    expect(reading).to_have_text("Read as 42.")
    expect(text).to_contain_text("Read as 42. Moved 2 down, 1 left. full: 8 × 8 pixels")
    patches.get_by_label("Picture").select_option("draw")
    expect(text).to_contain_text("Read as 0. In its place. draw: 8 × 8 pixels")
    for source, cut, shuffled in (("grey", "2", False), ("grey", "rows", True), ("blue", "4", True)):
        patches.get_by_label("Picture").select_option(source)
        patches.get_by_label("One token is").select_option(cut)
        if shuffled != is_shuffled:
            is_shuffled = shuffled
            patches.get_by_role("button", name="Shuffle").click()
        patches.get_by_role("slider").press("Control+Home")
        view = reference.pictures[source]
        told = view["cuts"][cut]
        order = told["text_shuffled" if shuffled else "text_in_order"]
        first = patches.locator(".cx-title").text_content() or ""
        row = tokens[source, cut][int(re.findall(r"\d+", first)[0]) - 1].tolist()[: told["shown_of_row"]]
        expect(text).to_contain_text(f"{view['text']} {told['text']} {told['cost']} {order} {first}")
        expect(text).to_contain_text(f"Flattened: {' '.join(map(str, row))}")
        expect(reading).to_be_hidden()
    expect(patches.get_by_role("alert")).to_be_empty()


def test_the_microscope_looks_without_a_kernel(saved: Page) -> None:
    scope = saved.locator('section.cx[aria-label="Microscope"]')
    torch.manual_seed(1)
    deep = GPT(LlamaConfig(vocab_size=27, max_seq_len=61, d_model=12, n_layers=5, n_heads=3)).eval()
    ids = torch.tensor([[0, 2, 0, 19]])
    with torch.no_grad():
        before = deep(ids)[0, -1].softmax(-1)
        with heads_off(deep, [(0, 1)]):
            now, weights = deep(ids)[0, -1].softmax(-1), weights_of(deep, ids[0])
    said = scope.get_by_role("status")
    best = int(before.argmax())
    shares = f"gets {100 * now[best]:.1f} % instead of {100 * before[best]:.1f} %"
    expect(said).to_contain_text(f": with head 0.1 off, {chr(97 + best)} {shares}")
    # What the other heads look at without it was saved as well.
    scope.get_by_role("button", name="As text").click()
    rows = [f"{100 * share:.0f} %" for share in weights[4, 2, 3].tolist() if share >= 0.0995]
    for row in rows:
        expect(scope.locator(".cx-text")).to_contain_text(row)
    for name, words in (("What each layer would say", "Off: head 0.1."), ("The whole way", "Attention adds")):
        scope.get_by_role("tab", name=name).click()
        expect(scope.locator(".cx-text")).to_contain_text(words)
    expect(scope.get_by_role("alert")).to_be_empty()


def test_single_gaps_are_filled_without_a_kernel(saved: Page) -> None:
    gap = saved.locator('section.cx[aria-label="Gap"]')
    models = {
        name: (readers.make_reader(causal=causal, seed=0), Characters())
        for name, causal in (("left", True), ("both", False))
    }
    reference = GapExplorer(models, "a gap")
    text, tokens = gap.locator(".cx-text"), gap.locator("button.cx-word")
    tokens.nth(2).press("h")
    for place in range(5):
        tokens.nth(place).press("Space")
        answer = reference.answers["left"][str(place)]
        expect(text).to_contain_text(answer["text"])
        for found in (answer["gaps"][str(place)], reference.tried["left"][f"{place};{place}"]):
            rows = ", ".join(" ".join(row) for row in found["rows"]) or "no answer"
            expect(text).to_contain_text(f"{found['title']}: {rows}. {found['own']}")
        tokens.nth(place).press("Space")
    gap.get_by_label("Model").select_option("both")
    expect(text).to_contain_text(reference.answers["both"][""]["text"])
    expect(gap.get_by_role("alert")).to_be_empty()


def test_the_clock_runs_without_a_kernel(saved: Page) -> None:
    clock = saved.locator('section.cx[aria-label="Clock"]')
    reference = ClockExplorer("a rose is a rose", layers=2)
    text, turn = clock.locator(".cx-text"), clock.get_by_label("Clock", exact=True)
    # What was measured on the way to the page is still there.
    times = clock.locator(".cx-times tbody tr").first.locator("td").all_text_contents()
    assert all(float(time) > 0 for time in times)
    expect(text).to_contain_text("Milliseconds for 5 words and 80 words: RNN")
    clock.get_by_label("Your guess").fill("7")
    for mode, processors in (("reading", 2), ("writing", 12)):
        clock.get_by_label("Mode").select_option(mode)
        clock.get_by_label("Processors of each").select_option(str(processors))
        expect(text).to_contain_text(f"Layers: 2. Processors: {processors}. Mode: {mode}. Tick 0.")
        clock.get_by_role("gridcell").nth(7).focus()
        clock.get_by_role("gridcell").nth(7).press("Space")
        expect(text).to_contain_text("Tick 1.")
        expect(text).to_contain_text("Followed: is, layer 1.")
        turn.press("End")
        for plan in reference.plans[f"2,{mode}"].values():
            expect(text).to_contain_text(plan["end"][str(processors)])
            expect(text).to_contain_text(
                f"{plan['needs'][7]} It worked at tick {plan['ticks'][str(processors)][7]}."
            )
    expect(clock.locator(".cx-ended tbody tr")).to_have_count(2)
    clock.get_by_label("Layers").select_option("4")
    expect(text).to_contain_text("Layers: 4. Processors: 12. Mode: writing. Tick 0.")
    expect(text).to_contain_text("Times: not measured.")
    expect(clock.get_by_role("alert")).to_be_empty()


def test_places_are_compared_without_a_kernel(saved: Page) -> None:
    positions = saved.locator('section.cx[aria-label="Positions"]')
    query = positions.get_by_label("Place of the query")
    query.fill("12")
    query.press("Shift+ArrowRight")
    positions.get_by_label("Scheme on the right").select_option("ALiBi")
    expect(positions.locator(".cx-text")).to_contain_text("Query at place 13, key at place 5, 8 places back")
    # Head 0 of four: a slope of a quarter.
    expect(positions.get_by_role("status")).to_contain_text("ALiBi −2.00.")
    expect(positions.locator(".note").last).to_have_text("Distance 8 is new: the line goes on.")
    expect(positions.get_by_role("alert")).to_be_empty()


def _in_other_order(saved: Any) -> Any:
    """The same with the keys of each object from last to first: those of a saved notebook are sorted."""
    if isinstance(saved, list):
        return [_in_other_order(part) for part in saved]
    if isinstance(saved, dict):
        return {key: _in_other_order(saved[key]) for key in sorted(saved, reverse=True)}
    return saved


def test_a_saved_page_keeps_the_order_of_what_it_lists(page: Page, exported: str) -> None:
    def options(title: str, label: str) -> list[str]:
        explorer = page.locator(f'section.cx[aria-label="{title}"]')
        return explorer.get_by_label(label, exact=True).locator("option").all_text_contents()

    saved = page.request.get(exported.replace("index.html", "exported.json")).json()
    states, shown = [saved, _in_other_order(saved)], []
    page.route("**/exported.json", lambda route: route.fulfill(json=states.pop(0)))
    while states:
        page.goto(exported)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_selector(".mx .t")
        shown.append(page.locator("section.cx").all_text_contents())
    assert len(shown[0]) == len(CELLS)
    assert shown[0] == shown[1]
    assert options("Patches", "Picture") == ["full", "grey", "blue", "draw one"]
    assert options("Gap", "Model") == ["left", "both"]
    assert options("Tokens", "or one sentence in")[1:] == list(languages())
    schemes = ["sinusoidal", "random rows", "rotary", "ALiBi", "relative"]
    assert options("Positions", "Scheme on the left") == schemes
    tables = page.locator("section.cx").last.locator(".cx-inputs").first.locator("[data-table]")
    names = [table.get_attribute("data-table") for table in tables.all()]
    assert names == ["x", "w_q", "w_k", "w_v"]


def test_streamed_text_stays_one_text(exported: str) -> None:
    with urllib.request.urlopen(exported.replace("index.html", "explorers.html")) as answer:
        page = answer.read().decode()
    assert "<pre>The first king" in page


def test_what_a_model_streams_is_one_text_in_jupyterlabs_file_and_in_its_export(desk) -> None:
    desk.begin(
        "import time\n"
        "from course_lib.checks.show import listener\n"
        "hear = listener()\n"
        "for word in ('The', ' first', ' king'):\n"
        "    hear(word)\n"
        "    time.sleep(0.1)"
    )
    desk.run_all()
    (cell,) = desk.save()["cells"]
    assert ["".join(output["text"]) for output in cell["outputs"]] == ["The first king"]
    address = f"{desk.lab.url}/nbconvert/html/shown.ipynb?token={desk.lab.token}"
    with urllib.request.urlopen(address) as answer:
        assert "<pre>The first king" in answer.read().decode()


def test_says_that_python_is_needed(saved: Page) -> None:
    """What the page cannot find out by itself; each explorer says so within its patience."""
    # All but Positions, which has nothing to ask, and the second stepper.
    sections = {part.get_attribute("aria-label"): part for part in saved.locator("section.cx").all()[:-2]}
    for section in sections.values():
        expect(section.get_by_role("alert")).to_be_empty()
    sections["Tokens"].get_by_label("Your text").fill("b")
    field = sections["Attention, step by step"].get_by_label("q of the, dimension 1")
    field.fill("5")
    field.blur()
    sections["Patches"].get_by_label("Picture").select_option("draw")
    sections["Patches"].get_by_role("gridcell").first.press("Space")
    sections["Microscope"].get_by_role("button", name=re.compile("^Switch")).press("Enter")
    for place in (1, 3):  # a single gap is known
        sections["Gap"].locator("button.cx-word").nth(place).press("Space")
    sections["Clock"].get_by_role("button", name="Measure on this machine").press("Enter")
    for section in sections.values():
        expect(section.get_by_role("alert")).to_contain_text("this page has no running kernel")


def test_follows_the_readers_system_and_can_be_read_in_both(saved: Page) -> None:
    """Here and not in JupyterLab, where axe-core takes all text for hidden and judges no contrast."""
    sums = {}
    saved.add_script_tag(path=AXE)
    for scheme in ("light", "dark"):
        saved.emulate_media(color_scheme=scheme)
        colours = saved.locator("section.cx").first.evaluate(
            "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
        )
        sums[scheme] = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
        found = saved.evaluate("axe.run('section.cx', { runOnly: ['color-contrast'] })")
        (judged,) = found["passes"]
        assert len(judged["nodes"]) > 100
        assert [node["html"] for rule in found["violations"] for node in rule["nodes"]] == []
    assert sums["light"][0] > sums["light"][1]
    assert sums["dark"][0] < sums["dark"][1]
