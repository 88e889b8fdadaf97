"""Every slide of every deck, opened from disk in a browser that reaches nothing outside; by `make slides`.

python tools/make_slides.py                # writes the decks, then runs this
python -m pytest tests/slide_pages.py      # looks at the decks that are there
"""

from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from chromium import Watch, launched, watched
from playwright.sync_api import Browser, Page, expect

BUILD = Path(__file__).parents[1] / "build" / "slides"
DECKS = sorted(path.stem for path in BUILD.glob("*.html") if path.stem != "index")
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
LECTURE = "The lecture, proved"  # is the one deck without explorers and predictions
LAST = 99  # of what comes one by one on a slide
# What is wrong on the slide that is shown. Text within explorers and figures may be smaller.
WRONG = """() => {
  const slide = Reveal.getCurrentSlide();
  const wrong = [];
  const say = (what, { textContent, outerHTML }) =>
    wrong.push(`${what}: ${textContent.trim().slice(0, 40) || outerHTML.slice(0, 60)}`);
  const { scrollWidth: width, scrollHeight: height } = slide;
  if (width > 1280 || height > 720) say(`${width} x ${height}`, slide);
  for (const element of slide.querySelectorAll(":not(aside, aside *, .foot, .foot *, script, style)")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const box = element.getBoundingClientRect();
    const seen = box.width > 0 && getComputedStyle(element).visibility === "visible";
    if (!seen || !(text || element.matches("img, iframe, svg"))) continue;
    if (box.left < 63 || box.top < 0 || box.right > 1217 || box.bottom > 677) say("not inside", element);
    const isBlock = element.matches("p, pre, td, li, h1, h2");
    if (isBlock && element.scrollWidth > element.clientWidth + 1) say("cut", element);
    if (text && parseFloat(getComputedStyle(element).fontSize) < 18) say("small", element);
    if (element.matches("img") && !(element.naturalWidth && box.width >= 400)) say("no picture", element);
  }
  return wrong;
}"""
# An explorer's page within the slide: whole, alive, and without a complaint.
EXPLORER = """() => {
  const page = document.documentElement;
  const explorer = document.querySelector("section.cx");
  return {
    fits: page.scrollHeight <= innerHeight && page.scrollWidth <= innerWidth,
    says: explorer?.querySelector(".cx-text")?.textContent.trim().length > 0,
    alerts: explorer?.querySelector("[role=alert]")?.textContent ?? "no explorer",
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A deck that asks for nothing outside and writes no error."""
    watch, asked = Watch(), []
    with watched(browser, watch) as context:
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_viewport_size({"width": 1280, "height": 720})
        page.goto((BUILD / f"{request.param}.html").as_uri())
        page.wait_for_function("Reveal.isReady()")
        yield page
        watch.check()
    assert [url for url in asked if not url.startswith((BUILD.as_uri(), "data:", "blob:", "about:"))] == []


def turn_to(page: Page, number: int) -> None:
    """Show a slide, counted from 0, and all that comes on it."""
    page.evaluate("([number, last]) => Reveal.slide(number, 0, last)", [number, LAST])
    page.wait_for_function(
        "[...Reveal.getCurrentSlide().querySelectorAll('img')].every((each) => each.complete)"
    )


def count(page: Page) -> int:
    return page.evaluate("Reveal.getTotalSlides()")


def test_there_is_a_deck_for_each_concept_and_one_for_the_lecture(browser: Browser) -> None:
    assert len(DECKS) == 11
    page = browser.new_page()
    page.goto((BUILD / "index.html").as_uri())
    links = [link.get_attribute("href") for link in page.get_by_role("link").all()]
    assert sorted(links) == [f"{deck}.html" for deck in DECKS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opened", DECKS, indirect=True)
def test_every_slide_fits_and_can_be_read(opened: Page, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.add_script_tag(path=AXE)
    assert count(opened) >= 10
    wrong = []
    for number in range(count(opened)):
        turn_to(opened, number)
        found = opened.evaluate(WRONG)
        faint = opened.evaluate("axe.run('section.present', { runOnly: ['color-contrast'], iframes: false })")
        found += [node["html"][:80] for rule in faint["violations"] for node in rule["nodes"]]
        wrong += [f"slide {number + 1}: {each}" for each in found]
    assert wrong == []


@pytest.mark.parametrize("opened", DECKS, indirect=True)
def test_explorers_are_whole_and_alive(opened: Page) -> None:
    assert opened.locator("iframe").count() >= (opened.title() != LECTURE)
    for number in range(count(opened)):
        turn_to(opened, number)
        for frame in opened.locator("section.present iframe").all():
            page = frame.element_handle().content_frame()
            page.wait_for_selector("section.cx .cx-text", state="attached")
            page.wait_for_function(f"({EXPLORER})().fits")
            assert page.evaluate(EXPLORER) == {"fits": True, "says": True, "alerts": ""}
            # The keys of a clicker go through it, on and back.
            frame.click()
            opened.keyboard.press("PageDown")
            opened.wait_for_function(f"Reveal.getState().indexh === {number + 1}")


@pytest.mark.parametrize("opened", DECKS, indirect=True)
def test_predictions_can_be_played(opened: Page) -> None:
    asked = {}
    for number in range(count(opened)):
        turn_to(opened, number)
        slide = opened.locator("section.present")
        for group in slide.get_by_role("radiogroup").all():
            answer = group.locator("label").last
            asked[group.get_by_role("radio").first.get_attribute("name")] = answer.inner_text()
            answer.click()
            opened.wait_for_function("document.activeElement === document.body")
            opened.keyboard.press("ArrowRight")  # on, and not to another answer
            opened.wait_for_function(f"Reveal.getState().indexh === {number + 1}")
    for name, answer in asked.items():
        outcome = opened.locator(f'.course-outcome[data-asked="{name}"]')
        expect(outcome).to_contain_text(f"You said: {answer}. The result: ")
    assert len(asked) >= 3 or opened.title() == LECTURE
    elsewhere = "prediction open of /book/notebooks/03_qkv.html"
    opened.evaluate("(key) => localStorage.setItem(key, 'one')", elsewhere)
    opened.reload()  # the next room is asked anew
    opened.wait_for_function("Reveal.isReady()")
    assert opened.locator(".course-answers :checked").count() == 0
    assert opened.evaluate("(key) => localStorage.getItem(key)", elsewhere) == "one"


@pytest.mark.parametrize("opened", ["03_qkv", "lecture"], indirect=True)
def test_the_speaker_has_notes_and_both_windows_turn_together(opened: Page) -> None:
    turn_to(opened, 1)
    with opened.expect_popup() as window:
        opened.keyboard.press("s")
    speaker = window.value
    notes = opened.locator("section.present aside.notes").text_content().split()
    expect(speaker.locator(".speaker-controls-notes .value")).to_contain_text(" ".join(notes[:5]))
    speaker.wait_for_function("document.querySelectorAll('iframe').length === 2")
    opened.keyboard.press("PageDown")
    opened.wait_for_function("Reveal.getState().indexh === 2")
    then = opened.locator("section.present aside.notes").text_content().split()
    expect(speaker.locator(".speaker-controls-notes .value")).to_contain_text(" ".join(then[:5]))
