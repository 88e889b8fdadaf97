"""A notebook that nbconvert wrote as a page: no kernel, no network, and explorers explain every number."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import nbformat
import numpy as np
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect

from course_lib import plots, readers
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c03_qkv.explorer import AttentionStepper
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters, GapExplorer
from course_lib.data import languages
from course_lib.decoder import GPT, LlamaConfig
from course_lib.patches import patchify
from course_lib.probing import heads_off, weights_of
from course_lib.widgets import alone

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
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
patches.moved = {"full": [2, -1]}
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
EXPLORERS = len(CELLS)
CELLS += [
    """
from course_lib.widgets import control, outcome, predict, predictions
predict("places", {"half": 0.5, "about <b>65</b> %": 0.65, "'all'": 1.0})
""",
    'outcome("places", 0.512, "{:.0%}")',
    'predict("both", {"yes": True, "no": False})',
    'outcome("both", False)',
    "predictions()",
    """
from ipywidgets import Dropdown, IntSlider, Text
@control(size=IntSlider(3, 1, 9), name=Dropdown(options=[("one", 1), ("two", 2)], value=2), text=Text("a"))
def show(size, name, text):
    print(size * name, text)
""",
    """
import time
from tqdm.auto import tqdm
for _ in tqdm(range(2), "gone", leave=False): pass
for _ in tqdm(range(2), "stays"): pass
""",
]
TEXTS = [
    r"Inline $W_Q^\top$, in code `$x$`, and two prices, \$5 and \$6."
    "\n\n"
    r"$$\begin{aligned} a &= \sqrt{b} && \text{first} \\ c &= d && \text{second} \end{aligned}$$",
    "<details>\n<summary>Folded</summary>\n\nHidden *words*.\n\n</details>",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as `jupyter nbconvert` writes it with the defaults of the course."""
    folder = tmp_path_factory.mktemp("exported")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    texts = [nbformat.v4.new_markdown_cell(text) for text in TEXTS]
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, *texts]), folder / "explorers.ipynb")
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "explorers.ipynb"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_PATH": str(ROOT / "tools/jupyter")},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder / "explorers.html"


@pytest.fixture(scope="module")
def loaded(context: BrowserContext, exported: Path) -> Iterator[Page]:
    page = context.new_page()
    page.goto(exported.as_uri())
    expect(page.locator("section.cx")).to_have_count(EXPLORERS)
    yield page
    page.close()


@pytest.fixture
def saved(loaded: Page, watch) -> Page:
    """The page, loaded once: an explorer is as it was saved for the one test that uses it here."""
    return loaded


def test_attention_is_stepped_through_and_changed_without_a_kernel(saved: Page) -> None:
    stepper = saved.locator('section.cx[aria-label="Attention, step by step"]').first
    stepper.get_by_role("tab", name="Mask").click()
    stepper.get_by_label("Mask", exact=True).select_option("causal")
    stepper.get_by_role("tab", name="Scores").click()
    field = stepper.get_by_label("q of it, number 3")
    field.fill("3")
    field.press("Enter")
    reference = AttentionStepper(mask="causal")
    reference.update(q=[*reference.q[:2], [1, 0, 3]])
    labels = {"scores": "scores", "scale": "scaled scores", "mask": "masked scores"}
    for stage, label in labels.items():
        stepper.get_by_role("tab", name=stage.capitalize()).click()
        cells = stepper.get_by_role("grid", name=label, exact=True).get_by_role("gridcell")
        texts = [text.replace("−", "-").replace("∞", "inf") for text in cells.all_text_contents()]
        np.testing.assert_allclose([*map(float, texts)], reference.numbers(stage).ravel(), atol=5e-4)
    the, cat, it = (f"{100 * share:.0f} %" for share in reference.numbers("softmax")[2])
    expect(stepper.locator(".cx-text")).to_contain_text(f"it looks at: the {the}, cat {cat}, it {it}.")
    expect(stepper.get_by_role("alert")).to_be_empty()


def test_tokens_of_other_texts_without_a_kernel(saved: Page) -> None:
    tokens = saved.locator('section.cx[aria-label="Tokens"]')
    ours = BPETokenizer.train("straw raw", 259)
    expect(tokens.locator(".text").first.locator(".bit")).to_have_text(ours.pieces("straw"))
    tokens.get_by_label("One sentence in").select_option("Greek")
    expect(tokens.get_by_label("Your text")).to_have_value(languages()["Greek"])
    # The page itself cuts what nobody has asked before.
    tokens.get_by_label("Your text").fill("raw")
    expect(tokens.locator(".text").first.locator(".bit")).to_have_text(ours.pieces("raw"))
    expect(tokens.get_by_label("Steps of text 1")).to_have_value(str(len(ours.merge_steps("raw")) - 1))
    expect(tokens.get_by_role("alert")).to_be_empty()


def test_patches_are_cut_moved_and_drawn_without_a_kernel(saved: Page) -> None:
    patches = saved.locator('section.cx[aria-label="Patches"]')
    numbers = torch.Generator().manual_seed(0)
    grey, blue = torch.randint(17, (1, 4, 6), generator=numbers), torch.full((3, 8, 8), 255)
    text, reading = patches.locator(".cx-text"), patches.locator(".reading")
    picture, size = patches.get_by_label("Picture", exact=True), patches.get_by_label("Cut into")
    expect(reading).to_have_text("Read as 42.")
    expect(text).to_contain_text("Read as 42. Moved 2 down, 1 left.")
    for source, cut, row in (
        ("grey", "2", patchify(grey[None], 2)[0, 0]),
        ("grey", "rows", grey[0, 0]),
        ("blue", "2", patchify(blue[None], 2)[0, 0, :4]),
    ):
        picture.select_option(source)
        size.select_option(cut)
        patches.get_by_role("slider", name="Opened token").press("Control+Home")
        expect(text).to_contain_text(f": {' '.join(map(str, row.tolist()))}")
        expect(reading).to_be_hidden()
    picture.select_option("draw")
    expect(reading).to_have_text("Nothing is drawn yet.")
    patches.get_by_role("slider", name="Opened token").press("Space")
    expect(text).to_contain_text("grey, 1–4: 16 0 0 0")
    expect(reading).to_contain_text("This needs Python")
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
    alone, whole = (f"{100 * p[best]:.1f} %" for p in (now, before))
    shares = f"still gets {alone}." if alone == whole else f"gets {alone} instead of {whole}"
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


def test_gaps_and_texts_are_answered_without_a_kernel(saved: Page) -> None:
    gap = saved.locator('section.cx[aria-label="Gap"]')
    models = {
        name: (readers.make_reader(causal=causal, seed=0), Characters())
        for name, causal in (("left", True), ("both", False))
    }
    reference = GapExplorer(models, "a gap")
    gap.locator("button.t").nth(3).press("h")
    for text in ("a gap", "another"):
        answers = [reference.answers[name][""][3] for name in models]
        bits = [answers[0]["bits"], reference.tried["left"][";3"]["bits"], answers[1]["bits"]]
        expect(gap.locator(".axis b")).to_have_text([f"{each:.1f}" for each in bits])
        if text == "a gap":
            reference.text = "another"
            gap.get_by_role("button", name="Own text").click()
            gap.get_by_label("Your text").fill("another")
            gap.get_by_label("Your text").press("Enter")
    expect(gap.get_by_role("alert")).to_be_empty()


def test_places_are_compared_without_a_kernel(saved: Page) -> None:
    positions = saved.locator('section.cx[aria-label="Positions"]')
    query = positions.get_by_label("Place of the query")
    query.fill("12")
    query.press("Shift+ArrowRight")
    positions.get_by_label("Scheme on the right").select_option("ALiBi")
    expect(positions.locator(".cx-text")).to_contain_text("Query at place 13, key at place 5, 8 places back")
    # Head 0 of four: a slope of a quarter.
    expect(positions.get_by_role("status")).to_contain_text("ALiBi adds −2.00.")
    expect(positions.locator(".note").last).to_have_text("Distance 8 is new: the line goes on.")
    expect(positions.get_by_role("alert")).to_be_empty()


def _in_other_order(saved: Any) -> Any:
    """The same with the keys of each object from last to first: those of a saved notebook are sorted."""
    if isinstance(saved, list):
        return [_in_other_order(part) for part in saved]
    if isinstance(saved, dict):
        return {key: _in_other_order(saved[key]) for key in sorted(saved, reverse=True)}
    return saved


def test_a_saved_page_keeps_the_order_of_what_it_lists(page: Page, exported: Path) -> None:
    def options(title: str, label: str) -> list[str]:
        explorer = page.locator(f'section.cx[data-name="{title}"]')
        return explorer.get_by_label(label, exact=True).locator("option").all_text_contents()

    text = exported.read_text(encoding="utf-8")
    before, opening, after = text.partition('<script type="application/vnd.jupyter.widget-state+json">')
    state, ending, rest = after.partition("</script>")
    other = json.dumps(_in_other_order(json.loads(state))).replace("</", "<\\/")
    turned = exported.with_name("turned.html")
    turned.write_text("".join([before, opening, other, ending, rest]), encoding="utf-8")
    shown = []
    for path in (exported, turned):
        page.goto(path.as_uri())
        page.wait_for_selector(".mx .t")
        expect(page.locator("section.cx")).to_have_count(EXPLORERS)
        shown.append(page.locator("section.cx").all_text_contents())
        # Two of a kind are told apart, in their order on the page.
        names = [each.get_attribute("aria-label") for each in page.locator("section.cx").all()]
        assert [name for name in names if name.startswith("Attention")] == [
            "Attention, step by step",
            "Attention, step by step, 2",
        ]
        assert len(set(names)) == EXPLORERS
    assert shown[0] == shown[1]
    assert options("Patches", "Picture") == ["full", "grey", "blue", "draw one"]
    assert options("Gap", "Models") == ["left, both"]
    assert options("Tokens", "One sentence in")[1:] == list(languages())
    schemes = ["sinusoidal", "random rows", "rotary", "ALiBi", "relative"]
    assert options("Positions", "Scheme on the left") == schemes
    assert options("Attention, step by step", "What is made") == ["query", "key", "value"]


def test_streamed_text_stays_one_text(exported: Path) -> None:
    assert "<pre>The first king" in exported.read_text(encoding="utf-8")


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
        page = answer.read().decode()
    assert "<pre>The first king" in page
    assert "<script src" not in page


def test_what_needs_python_is_not_offered(saved: Page) -> None:
    clock = saved.locator('section.cx[aria-label="Clock"]')
    clock.get_by_role("tab", name="On a real machine").press("Enter")
    expect(clock.get_by_role("button", name="Measure here")).to_be_hidden()
    microscope = saved.locator('section.cx[aria-label="Microscope"]')
    expect(microscope.get_by_role("tab").first).to_be_visible()
    expect(microscope.get_by_role("button", name="Own text")).to_be_hidden()


def test_a_prediction_is_shown_beside_its_outcome_counted_and_kept(page: Page, exported: Path) -> None:
    page.goto(exported.as_uri())
    places, both = page.locator(".course-answers").all()
    outcomes, counted = page.locator(".course-outcome[data-asked]"), page.locator(".course-predictions")
    expect(outcomes).to_have_text(
        ["The result: 51 %. (You made no prediction.)", "The result: False. (You made no prediction.)"]
    )
    expect(counted).to_have_text(re.compile("^You made no predictions in this run"))
    # Nothing tells which answer is right.
    expect(places).to_have_text("halfabout <b>65</b> %'all'")
    names = "e => [...e.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"
    assert set(places.evaluate(names)) == {"type", "name"}
    expect(page.locator(".course-answers :checked")).to_have_count(0)
    both.get_by_label("yes").click()
    expect(outcomes.last).to_have_text("✗ You said: yes. The result: False.")
    expect(counted.locator("strong")).to_have_text("You made 1 prediction; 0 held.")
    places.get_by_label("about <b>65</b> %").click()
    expect(outcomes.first).to_have_text("✗ You said: about <b>65</b> %. The result: 51 %.")
    expect(outcomes.first).to_have_css("border-left-color", rgb(plots.ORANGE))
    expect(counted).to_contain_text("2 predictions; 0 held.✗ You said: about <b>65</b> %.")
    page.keyboard.press("ArrowUp")
    expect(outcomes.first).to_have_text("✓ You said: half. The result: 51 %.")
    expect(outcomes.first).to_have_css("border-left-color", rgb(plots.GREEN))
    lines = ["✓ You said: half. The result: 51 %.", "✗ You said: yes. The result: False."]
    expect(counted.locator("strong")).to_have_text("You made 2 predictions; 1 held.")
    expect(counted.get_by_role("listitem")).to_have_text(lines)
    counted.get_by_role("link").last.click()
    assert page.evaluate("document.querySelector(':target').textContent") == lines[-1]
    # Opened again, the page knows; another page, and one that may keep nothing, do not.
    page.reload()
    expect(page.locator(".course-answers :checked")).to_have_count(2)
    expect(counted.get_by_role("listitem")).to_have_text(lines)
    forget = page.get_by_role("button", name="Forget my predictions on this page")
    forget.click()
    expect(page.locator(".course-answers input")).to_have_count(5)
    expect(page.locator(".course-answers :checked")).to_have_count(0)
    expect(forget).to_be_hidden()
    page.reload()
    expect(page.locator(".course-answers :checked")).to_have_count(0)
    page.get_by_label("half").click()
    other = shutil.copy(exported, exported.with_name("other.html"))
    forbidden = "get() { throw new Error('forbidden'); }"
    for path in (other, exported):
        page.goto(path.as_uri())
        page.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {forbidden} }})")
        expect(page.locator(".course-answers input")).to_have_count(5)
        expect(page.locator(".course-answers :checked")).to_have_count(0)
    page.get_by_label("half").click()
    expect(outcomes.first).to_have_text("✓ You said: half. The result: 51 %.")


def rgb(colour: str) -> str:
    """As the browser says a colour."""
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_controls_stand_as_they_were_saved(saved: Page) -> None:
    box = saved.locator(".course-widget", has=saved.locator(".course-control"))
    for label, value in (("size", "3"), ("name", "two"), ("text", "a")):
        field = box.get_by_label(label)
        expect(field).to_have_value(value)
        expect(field).to_be_disabled()
    expect(box).to_contain_text("6 a")
    expect(box).to_contain_text("another input needs the notebook's kernel")
    # Of a progress bar stays what its notebook shows.
    expect(saved.get_by_role("progressbar")).to_have_count(1)
    expect(saved.locator("main")).to_contain_text("stays: 100%")
    expect(saved.locator("main")).not_to_contain_text("gone: 0%")


def test_formulas_are_drawn_without_a_script(saved: Page) -> None:
    inline, block = saved.locator("math").all()
    assert [part.evaluate("e => e.textContent") for part in inline.locator("mi, mo").all()] == ["W", "Q", "⊤"]
    expect(inline.locator("..")).to_contain_text("in code $x$, and two prices, $5 and $6.")
    rows = block.locator("mtr")
    expect(rows).to_have_count(2)
    firsts = [row.locator("mtd").nth(column).bounding_box() for row in rows.all() for column in (1, 3)]
    assert firsts[0]["x"] == firsts[2]["x"] < firsts[1]["x"] == firsts[3]["x"]
    expect(saved.get_by_text("Hidden words.")).to_be_hidden()
    saved.get_by_text("Folded").click()
    expect(saved.get_by_text("Hidden words.")).to_be_visible()


def test_the_page_asks_for_nothing_but_itself(page: Page, exported: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(exported.as_uri())
    expect(page.locator("section.cx")).to_have_count(EXPLORERS)
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [exported.as_uri()]


def test_a_page_of_explorers_alone(page: Page, tmp_path: Path) -> None:
    """In both of the reader's colours: here axe-core judges contrast, as it does not in JupyterLab."""
    markup = AttentionStepper(["</script><b>"], q=[[1]], k=[[0]], v=[[2]])
    path = tmp_path / "alone.html"
    path.write_text(alone.page([AttentionStepper(), markup], "A <page>"), encoding="utf-8")
    page.goto(path.as_uri())
    expect(page).to_have_title("A <page>")
    steppers = page.locator("section.cx")
    expect(steppers).to_have_count(2)
    expect(steppers.last).to_contain_text("</script><b>")
    expect(steppers.last.locator("script")).to_have_count(0)
    steppers.first.get_by_role("tab", name="Mask").click()
    steppers.first.get_by_label("Mask", exact=True).select_option("causal")
    expect(steppers.last.get_by_label("Mask", exact=True)).not_to_have_value("causal")
    sums = {}
    page.add_script_tag(path=AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.locator("section.cx").first.evaluate(
            "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
        )
        sums[scheme] = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
        found = page.evaluate("axe.run('section.cx', { runOnly: ['color-contrast'] })")
        (judged,) = found["passes"]
        assert len(judged["nodes"]) > 60
        assert [node["html"] for rule in found["violations"] for node in rule["nodes"]] == []
    assert sums["light"][0] > sums["light"][1]
    assert sums["dark"][0] < sums["dark"][1]


def test_an_exported_page_is_light_and_accessible(page: Page, exported: Path) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(exported.as_uri())
    expect(page.locator("section.cx")).to_have_count(EXPLORERS)
    colours = page.evaluate("""() => [document.body, ...document.querySelectorAll("section.cx")].map(
        e => getComputedStyle(e).backgroundColor)""")
    assert {sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours} == {3 * 255}
    page.add_script_tag(path=AXE)
    # One explorer stands there twice, under one name.
    ours, rules = "['.course-widget', '.course-outcome']", "{ 'landmark-unique': { enabled: false } }"
    found = page.evaluate(f"axe.run({{ include: {ours} }}, {{ rules: {rules} }})")
    assert [(rule["help"], node["html"]) for rule in found["violations"] for node in rule["nodes"]] == []
