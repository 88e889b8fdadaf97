"""A certificate as a page: on a phone, on a laptop, light and dark, on paper."""

import re
from collections.abc import Iterator
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page

from course_lib.concepts.c09_real_models.capstone.certificate import Certificate
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

AXE = axe_playwright_python.__path__[0] + "/axe.min.js"
LONGEST = Certificate(
    name="Maximiliane-Wilhelmina Donaudampfschifffahrtsgesellschafter",
    model="SmolLM2-135M-Instruct",
    n_layers=30,
    is_real=False,
    measured={part: "244 uses, off by 1 in 400,000" for part in PARTS if part not in ("cache", "block")},
    answer="The capital of France is Paris.",
    compared="at temperature 0, the same as the course's; scores off by 1 in 400,000",
    drawn="The story of a cat who learns to read is a tale of " + "extraordinary" * 5,
    seed=0,
    speed=0.89,
    digest="6c" * 32,
)


@pytest.fixture(params=[(390, "light"), (390, "dark"), (1366, "light"), (1366, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Any) -> Iterator[Page]:
    """The page of a certificate with much to say."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.set_content(LONGEST.save(tmp_path / "certificate.html").read_text(encoding="utf-8"))
    yield page
    context.close()


def test_it_fits_and_can_be_read(page: Page) -> None:
    wide = """() => [...document.querySelectorAll("p, h1, td, th, pre, svg")]
        .filter(it => it.getBoundingClientRect().right > innerWidth || it.scrollWidth > it.clientWidth + 1)
        .filter(it => getComputedStyle(it).display !== "inline").map(it => it.outerHTML)"""
    assert page.evaluate(wide) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")
    assert found["passes"]
    assert [(rule["help"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


def test_on_paper_it_is_one_page(page: Page) -> None:
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
