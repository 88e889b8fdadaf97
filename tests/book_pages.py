"""Every page of the book, opened from disk in a browser that reaches nothing outside. `make book` runs it.

python tools/make_book.py                  # writes the book, then runs this
python -m pytest tests/book_pages.py       # looks at the book that is there
"""

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from chromium import Watch, found_by_axe, launched, watched
from playwright.sync_api import Browser, Page, expect

from course_lib.widgets.microscope import recordings

BUILD = Path(__file__).parents[1] / "build" / "book"
# Of the decks `make slides` looks at each slide.
PAGES = sorted(
    page
    for page in (path.relative_to(BUILD).as_posix() for path in BUILD.rglob("*.html"))
    if not page.startswith(("_static/", "slides/"))
)
LESSONS = [page for page in PAGES if page.startswith("notebooks/")]
# One of each kind: what stands in all exercises, or in all experiments, is made in one place.
READ = [
    *LESSONS,
    "index.html",
    "run.html",
    "claims.html",
    "glossary.html",
    "broken.html",
    "explorers.html",
    "exercises/03_qkv/attention_by_hand.html",
    "experiments/quadratic.html",
    "reference/index.html",
    "reference/attention.html",
]
OPEN = "document.querySelectorAll('.course-waits').forEach((part) => part.classList.add('is-open'))"
VIEWS = 'script[type="application/vnd.jupyter.widget-view+json"]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that asks for nothing outside and writes no error."""
    watch, asked = Watch(), []
    with watched(browser, watch) as context:
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto((BUILD / request.param).as_uri())
        yield page
        watch.check()
    assert [url for url in asked if not url.startswith((BUILD.as_uri(), "data:", "blob:"))] == []


def test_the_book_is_there() -> None:
    assert len(LESSONS) == 10
    assert {f"{name}.html" for name in ("index", "claims", "lecture", "explorers", "run")} <= set(PAGES)


def test_every_link_within_the_book_leads_somewhere() -> None:
    links, places = {}, {}
    for page in PAGES:
        text = (BUILD / page).read_text(encoding="utf-8")
        places[page] = set(re.findall(r'\bid="([^"]+)"', text))
        links[page] = set(re.findall(r'<a [^>]*?href="([^"]+)"', text))
    lost = [
        f"{page}: {link}"
        for page, of in links.items()
        for link in of
        if not re.match(r"[a-z]+:", link) and not leads(page, html.unescape(link), places)
    ]
    assert lost == []


def leads(page: str, link: str, places: dict[str, set[str]]) -> bool:
    """Whether a link leads to a file of the book, and to a place on a page that is there."""
    name, _, place = link.partition("#")
    target = os.path.normpath(os.path.join(os.path.dirname(page), unquote(name))) if name else page
    if target not in places:
        return (BUILD / target).exists() and not place
    return not place or unquote(place) in places[target]


@pytest.mark.parametrize("opened", PAGES, indirect=True)
def test_a_page_is_alive_and_fits_a_telephone(opened: Page) -> None:
    opened.evaluate(OPEN)
    explorers = opened.locator("section.cx")
    if opened.locator(VIEWS).count():
        expect(opened.locator(f":is({VIEWS}) + .course-widget > *").first).to_be_attached()
    for explorer in explorers.all():
        expect(explorer).to_have_attribute("aria-label", re.compile(r"\w"))
        expect(explorer.locator(".cx-text")).to_contain_text(re.compile(r"\w"))
        expect(explorer.get_by_role("alert")).to_be_empty()
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.wait_for_function("document.documentElement.scrollWidth <= 390")


@pytest.mark.parametrize("opened", [*LESSONS, "index.html"], indirect=True)
def test_a_page_leads_to_its_slides(opened: Page) -> None:
    opened.locator(".bd-article a[href*='slides/']").first.click()
    opened.wait_for_url(re.compile("/slides/"))
    expect(opened.locator("h1, h2").first).to_be_visible()


@pytest.mark.parametrize("opened", READ, indirect=True)
def test_everybody_can_read_a_page(opened: Page) -> None:
    opened.evaluate(OPEN)
    ours = opened.locator(".bd-article, main:not(:has(.bd-article))")
    found = []
    for theme in ("light", "dark"):
        opened.emulate_media(color_scheme=theme)
        found += found_by_axe(opened, ours, theme)
    assert found == []


@pytest.mark.parametrize("opened", [*LESSONS, "index.html"], indirect=True)
def test_what_follows_a_question_waits_for_an_answer(opened: Page) -> None:
    questions = opened.locator(".course-answers")
    expect(questions.first).to_be_attached()
    waiting = opened.locator(".course-waits")
    assert waiting.count() >= questions.count()
    for outcome in opened.locator(".course-outcome[data-asked]").all():
        expect(outcome).to_be_hidden()
    for n in range(questions.count()):
        expect(questions.nth(n)).to_be_visible()
        questions.nth(n).get_by_role("radio").last.check()
        said = questions.nth(n).locator("label").last.inner_text()
        asked = questions.nth(n).get_by_role("radio").last.get_attribute("name")
        outcome = opened.locator(f'.course-outcome[data-asked="{asked}"]').first
        expect(outcome).to_contain_text(f"You said: {said}. The result: ")
    # A result may stand behind a later question: in the end none is hidden.
    for outcome in opened.locator(".course-outcome[data-asked]").all():
        expect(outcome).to_be_visible()
    opened.reload()
    expect(waiting.last).to_be_visible()
    expect(opened.locator(".course-outcome[data-asked]").last).to_contain_text("You said: ")


@pytest.mark.parametrize("opened", ["index.html", "notebooks/04_multi_head.html"], indirect=True)
def test_the_microscope_reads_every_recorded_text(opened: Page) -> None:
    opened.evaluate(OPEN)
    scope = opened.locator('section.cx[aria-label="Microscope"]').first
    texts = scope.get_by_label("Text", exact=True)
    for recording in recordings():
        texts.select_option(recording["text"])
        expect(scope.locator(".cx-text")).to_contain_text(f"{recording['tokens'][0]} | ")
        expect(texts).to_have_value(recording["text"])
        expect(scope.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("opened", ["index.html"], indirect=True)
def test_the_front_page_stands_on_a_laptop_without_scrolling(opened: Page) -> None:
    opened.set_viewport_size({"width": 1366, "height": 768})
    for part in ("section.cx", ".course-answers"):
        box = opened.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 768


@pytest.mark.parametrize("opened", ["index.html"], indirect=True)
def test_the_front_page_switches_nothing_off_before_the_guess(opened: Page) -> None:
    scope = opened.locator("section.cx")
    answers = [scope.locator(".switches"), scope.get_by_label("needs the head"), scope.get_by_label("Tour")]
    seen = [answer.first.locator("visible=true") for answer in answers]
    for answer in seen:
        expect(answer).to_have_count(0)
    opened.locator(".course-answers input").first.check()
    expect(seen[0]).to_have_count(1)
    expect(seen[1]).to_have_count(1)


@pytest.mark.parametrize("opened", LESSONS[:1], indirect=True)
def test_who_does_not_want_to_guess_need_not(opened: Page) -> None:
    opened.get_by_role("button", name="Show it without a guess").first.click()
    expect(opened.locator(".course-waits").first).to_be_visible()
    expect(opened.locator(".course-outcome[data-asked]").first).to_contain_text("You made no prediction.")
